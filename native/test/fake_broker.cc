#include "fake_broker.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "check.h"

namespace weft::test {

FakeBroker::FakeBroker(std::string path) : path_(std::move(path)) {
  sockaddr_un address{AF_UNIX, {}};
  memcpy(address.sun_path, path_.data(), path_.size());
  listener_.Reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  CHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  CHECK(listen(listener_.get(), 8) == 0);
  thread_ = std::thread([this] { Serve(); });
}

FakeBroker::~FakeBroker() {
  stopping_ = true;
  thread_.join();
  unlink(path_.c_str());
}

void FakeBroker::Serve() {
  while (!stopping_) {
    pollfd ready[2] = {{listener_.get(), POLLIN, 0}, {worker_.get(), POLLIN, 0}};
    if (poll(ready, 2, 5) <= 0) continue;
    const std::lock_guard lock(mutex_);
    if (ready[0].revents != 0) AcceptWorker();
    if (ready[1].revents != 0 && !Receive()) worker_.Reset();
  }
}

void FakeBroker::AcceptWorker() {
  worker_.Reset(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  broker::Hello hello;
  CHECK(recv(worker_.get(), &hello, sizeof hello, 0) == sizeof hello);
  CHECK(hello.type == broker::Type::kHello && hello.role == broker::Role::kWorker);
  for (const OwnListener& listener : listeners_) SendListener(listener);
}

bool FakeBroker::Receive() {
  broker::SocketsWanted wanted;
  if (recv(worker_.get(), &wanted, sizeof wanted, MSG_DONTWAIT) != sizeof wanted) return false;
  if (wanted.type != broker::Type::kSocketsWanted || wanted.count == 0 || wanted.count > broker::kMaxDescriptors)
    return false;
  if (supply_ == Supply::kNothing) {
    unanswered_.push_back(wanted);
  } else {
    Answer(wanted);
  }
  return true;
}

void FakeBroker::Answer(const broker::SocketsWanted& wanted) {
  broker::Sockets message{broker::Type::kSockets, wanted.pod, wanted.family, 0, 0};
  if (supply_ == Supply::kError) {
    message.error = ENONET;
    return Send(&message, sizeof message);
  }
  std::vector<Descriptor> sockets;
  std::vector<int> descriptors;
  for (uint32_t i = 0; i < wanted.count; i++) {
    Descriptor made(socket(wanted.family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!made) break;
    const int yes = 1;
    setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    setsockopt(made.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    descriptors.push_back(made.get());
    sockets.push_back(std::move(made));
  }
  message.count = static_cast<uint32_t>(sockets.size());
  message.error = sockets.empty() ? EMFILE : 0;
  supplied_ += message.count;
  Send(&message, sizeof message, descriptors);
}

void FakeBroker::Send(const void* message, size_t size, const std::vector<int>& descriptors) {
  if (!worker_) return;
  alignas(cmsghdr) char control[CMSG_SPACE(broker::kMaxDescriptors * sizeof(int))] = {};
  iovec part{const_cast<void*>(message), size};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    const size_t bytes = descriptors.size() * sizeof(int);
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(bytes);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(rights), descriptors.data(), bytes);
  }
  sendmsg(worker_.get(), &header, MSG_NOSIGNAL);
}

void FakeBroker::SendListener(const OwnListener& listener) {
  const Endpoint local = LocalEndpoint(listener.socket);
  const broker::Listener message{broker::Type::kListener, listener.pod, local.port, local.address, {}};
  Send(&message, sizeof message, {listener.socket.get()});
}

void FakeBroker::AddListener(uint32_t pod, const Descriptor& listener) {
  SetNonBlocking(listener, true);
  const std::lock_guard lock(mutex_);
  listeners_.push_back({pod, Descriptor(fcntl(listener.get(), F_DUPFD_CLOEXEC, 0))});
  SendListener(listeners_.back());
}

void FakeBroker::RemoveListener(uint32_t pod) {
  const std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [&](const OwnListener& listener) { return listener.pod == pod; });
  const broker::ListenerGone message{broker::Type::kListenerGone, pod};
  Send(&message, sizeof message);
}

void FakeBroker::Drain(uint32_t grace_ms) {
  const std::lock_guard lock(mutex_);
  const broker::Drain message{broker::Type::kDrain, grace_ms};
  Send(&message, sizeof message);
}

void FakeBroker::SetSupply(Supply supply) {
  const std::lock_guard lock(mutex_);
  supply_ = supply;
  if (supply == Supply::kNothing) return;
  for (const broker::SocketsWanted& wanted : unanswered_) Answer(wanted);
  unanswered_.clear();
}

}  // namespace weft::test
