#include "broker_client.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace weft::core {
namespace {

constexpr int64_t kReconnectUs = 100'000;
constexpr int kMessagesPerTurn = 32;
constexpr size_t kMaxMessage = 512;
static_assert(sizeof(broker::Listener) <= kMaxMessage && sizeof(broker::Sockets) <= kMaxMessage);

Descriptor ConnectTo(const std::string& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.size() >= sizeof address.sun_path) return {};
  memcpy(address.sun_path, path.data(), path.size());
  Descriptor socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket || connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  return socket;
}

// Takes over every descriptor that came, so that none leaks, whatever the message is.
size_t TakeDescriptors(msghdr& header, std::array<Descriptor, broker::kMaxDescriptors>& descriptors) {
  size_t count = 0;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr; control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t bytes = control->cmsg_len - CMSG_LEN(0);
    for (size_t offset = 0; offset < bytes && count < descriptors.size(); offset += sizeof(int)) {
      int fd;
      memcpy(&fd, CMSG_DATA(control) + offset, sizeof fd);
      descriptors[count++].Reset(fd);
    }
  }
  return count;
}

template <typename Message>
bool Read(const std::byte* bytes, size_t size, Message* message) {
  if (size != sizeof *message) return false;
  memcpy(message, bytes, size);
  return true;
}

}  // namespace

BrokerClient::BrokerClient(EventLoop& loop, BrokerEvents& events, std::string path, uint32_t slot)
    : loop_(loop), events_(events), path_(std::move(path)), slot_(slot) {}

void BrokerClient::Connect() {
  socket_ = ConnectTo(path_);
  const broker::Hello hello{broker::Type::kHello, broker::Role::kWorker, slot_};
  if (!socket_ || send(socket_.get(), &hello, sizeof hello, MSG_NOSIGNAL) < 0) {
    socket_.Reset();
    loop_.Schedule(*this, loop_.now_us() + kReconnectUs);
    return;
  }
  blocked_ = false;
  loop_.Add(socket_.get(), EPOLLIN, *this);
  events_.BrokerWritable();
}

void BrokerClient::Close() {
  Timer::Unlink();
  if (!socket_) return;
  loop_.Remove(socket_.get());
  socket_.Reset();
}

void BrokerClient::Lose() {
  Close();
  loop_.Schedule(*this, loop_.now_us() + kReconnectUs);
  events_.BrokerLost();
}

bool BrokerClient::AskForSockets(uint32_t pod, uint32_t family, uint32_t count) {
  const broker::SocketsWanted message{broker::Type::kSocketsWanted, pod, family, count};
  return Send(&message, sizeof message);
}

bool BrokerClient::Send(const void* message, size_t size) {
  if (!socket_ || blocked_) return false;
  if (send(socket_.get(), message, size, MSG_NOSIGNAL) >= 0) return true;
  // Any other error is seen, and acted on, when reading.
  if (errno == EAGAIN) Watch(true);
  return false;
}

void BrokerClient::Watch(bool writable) {
  blocked_ = writable;
  loop_.Modify(socket_.get(), writable ? EPOLLIN | EPOLLOUT : EPOLLIN, *this);
}

void BrokerClient::Ready(uint32_t events) {
  if (!socket_) return;
  if ((events & EPOLLOUT) != 0 && blocked_) {
    Watch(false);
    events_.BrokerWritable();
  }
  for (int i = 0; i < kMessagesPerTurn && socket_ && Receive(); i++) {
  }
}

bool BrokerClient::Receive() {
  alignas(8) std::byte message[kMaxMessage];
  alignas(cmsghdr) std::byte control[CMSG_SPACE(broker::kMaxDescriptors * sizeof(int))];
  iovec part{message, sizeof message};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  if (size <= 0) {
    Lose();
    return false;
  }
  std::array<Descriptor, broker::kMaxDescriptors> descriptors;
  const size_t count = TakeDescriptors(header, descriptors);
  Dispatch(message, static_cast<size_t>(size), std::span(descriptors).first(count));
  return true;
}

// A message that is not understood is a broker of another build: its descriptors are closed and it is passed over.
void BrokerClient::Dispatch(const std::byte* message, size_t size, std::span<Descriptor> descriptors) {
  broker::Type type;
  if (size < sizeof type) return;
  memcpy(&type, message, sizeof type);
  if (broker::Listener listener; type == broker::Type::kListener && Read(message, size, &listener)) {
    // The kernel leaves descriptors out where the process has too many open (unix(7), MSG_CTRUNC).
    if (!descriptors.empty()) events_.BrokerListener(listener, std::move(descriptors.front()));
  } else if (broker::ListenerGone gone; type == broker::Type::kListenerGone && Read(message, size, &gone)) {
    events_.BrokerListenerGone(gone.pod);
  } else if (broker::Sockets sockets; type == broker::Type::kSockets && Read(message, size, &sockets)) {
    events_.BrokerSockets(sockets, descriptors);
  } else if (broker::Drain drain; type == broker::Type::kDrain && Read(message, size, &drain)) {
    events_.BrokerDrain(drain.grace_ms);
  }
}

}  // namespace weft::core
