#include "listener.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>

namespace weft::core {
namespace {

constexpr int kAcceptsPerTurn = 64;
constexpr int kMostRest = 65536;
constexpr int64_t kPauseUs = 100'000;

// By its timer: then it is not watched.
bool IsPaused(const Timer& listener) { return listener.linked(); }

}  // namespace

Listener::Listener(EventLoop& loop, Acceptor& acceptor, uint32_t pod, Descriptor socket)
    : loop_(loop), acceptor_(acceptor), pod_(pod), socket_(std::move(socket)) {
  loop_.Add(socket_.get(), EPOLLIN, *this);
}

void Listener::Close() {
  if (!socket_) return;
  if (!IsPaused(*this)) loop_.Remove(socket_.get());
  Timer::Unlink();
  socket_.Reset();
}

void Listener::Ready(uint32_t /*events*/) {
  for (int i = 0; i < kAcceptsPerTurn && socket_ && Accept(); i++) {
  }
}

void Listener::AcceptRest() {
  for (int i = 0; i < kMostRest && socket_ && Accept(); i++) {
  }
}

bool Listener::Accept() {
  SocketAddress peer;
  socklen_t length = sizeof peer;
  Descriptor socket(accept4(socket_.get(), &peer.any, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (socket) {
    acceptor_.Accepted(pod_, std::move(socket), ToEndpoint(peer));
    return true;
  }
  switch (errno) {
    case EAGAIN:
      return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
    case EINVAL:  // it listens no more
      Pause();
      return false;
    default:
      return true;  // an error of that one connection: accept(2), "Error handling"
  }
}

// Connections wait in the kernel until there are descriptors again; a watched socket would spin meanwhile, one that
// listens no more whichever events are asked for (epoll_ctl(2), EPOLLHUP).
void Listener::Pause() {
  if (!IsPaused(*this)) loop_.Remove(socket_.get());
  loop_.Schedule(*this, loop_.now_us() + kPauseUs);
}

void Listener::Expired() {
  if (!loop_.TryAdd(socket_.get(), EPOLLIN, *this)) loop_.Schedule(*this, loop_.now_us() + kPauseUs);
}

}  // namespace weft::core
