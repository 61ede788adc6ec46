#include "channel.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "protocol.h"

namespace weft::broker {
namespace {

constexpr size_t kMaximumQueue = 4096;
constexpr size_t kMaximumQueuedDescriptors = 2048;
constexpr size_t kMaximumMessage = 1024;

}  // namespace

Channel::Channel(Descriptor socket) : socket_(std::move(socket)) {}

Channel::Result Channel::Receive(Message* message) {
  message->bytes.resize(kMaximumMessage);
  message->descriptors.clear();
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  iovec part{message->bytes.data(), message->bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (size < 0) return errno == EAGAIN || errno == EINTR ? Result::kNothing : Result::kClosed;
  for (const cmsghdr* part_header = CMSG_FIRSTHDR(&header); part_header != nullptr;
       part_header = CMSG_NXTHDR(&header, const_cast<cmsghdr*>(part_header))) {
    if (part_header->cmsg_level != SOL_SOCKET || part_header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (part_header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part_header) + i * sizeof fd, sizeof fd);
      message->descriptors.emplace_back(fd);
    }
  }
  if (size == 0 || (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) return Result::kClosed;
  message->bytes.resize(static_cast<size_t>(size));
  return Result::kMessage;
}

bool Channel::SendNow(std::span<const std::byte> bytes, std::span<const int> descriptors) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  return sendmsg(socket_.get(), &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0;
}

bool Channel::Send(std::span<const std::byte> bytes, std::span<const int> descriptors) {
  if (queue_.empty() && SendNow(bytes, descriptors)) return true;
  // RLIMIT_NOFILE does not bound the descriptors in flight of who has CAP_SYS_ADMIN: no ETOOMANYREFS (unix(7)).
  if (queue_.empty() && errno != EAGAIN) return false;
  if (queue_.size() >= kMaximumQueue || queued_descriptors_ + descriptors.size() > kMaximumQueuedDescriptors)
    return false;
  queued_descriptors_ += descriptors.size();
  Message& message = queue_.emplace_back();
  message.bytes.assign(bytes.begin(), bytes.end());
  for (const int fd : descriptors) message.descriptors.emplace_back(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  return true;
}

bool Channel::Flush() {
  while (!queue_.empty()) {
    std::vector<int> descriptors;
    for (const Descriptor& descriptor : queue_.front().descriptors) descriptors.push_back(descriptor.get());
    if (!SendNow(queue_.front().bytes, descriptors)) return errno == EAGAIN;
    queued_descriptors_ -= descriptors.size();
    queue_.pop_front();
  }
  return true;
}

uid_t Channel::PeerUid() const {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(socket_.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.uid : static_cast<uid_t>(-1);
}

}  // namespace weft::broker
