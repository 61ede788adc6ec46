#include "dial.h"

#include <arpa/inet.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace weft::core {
namespace {

constexpr int kBindAttempts = 16;
constexpr int kMaxDialAttempts = 4;

// Binds to the next free place of the source block.
int BindSource(int socket, SourceAddresses& sources, Endpoint* source) {
  int error = EADDRINUSE;
  for (int i = 0; i < kBindAttempts && (error == EADDRINUSE || error == EADDRNOTAVAIL); i++) {
    *source = sources.Next();
    SocketAddress address;
    const socklen_t length = ToSocketAddress(*source, &address);
    error = bind(socket, &address.any, length) == 0 ? 0 : errno;
  }
  return error;
}

// 0, EINPROGRESS or another errno. Inside one network namespace the handshake is over when a non-blocking connect()
// returns EINPROGRESS: the answer was waiting for the socket's lock. Asking again costs one system call, where waiting
// for epoll costs a turn of the loop.
int Connect(int socket, const Endpoint& destination) {
  SocketAddress address;
  const socklen_t length = ToSocketAddress(destination, &address);
  if (connect(socket, &address.any, length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (connect(socket, &address.any, length) == 0 || errno == EISCONN) return 0;
  return errno == EALREADY ? EINPROGRESS : errno;
}

}  // namespace

const uint32_t Dial::kEvents = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;

void Dial::Start(uint32_t pod, const Endpoint& destination, const Endpoint* client) {
  pod_ = pod;
  destination_ = destination;
  restores_client_ = client != nullptr && context_.clients.present();
  if (restores_client_) client_ = *client;
  context_.sockets.Provide(*this);
}

void Dial::Supplied(Descriptor socket, SourceAddresses& sources) {
  socket_ = std::move(socket);
  supplied_ = true;
  int error = restores_client_ ? Announce(sources) : 0;
  if (error == 0) error = Connect(socket_.get(), destination_);
  if (error == 0) {
    announced_ = false;
    return events_.Dialed(std::move(socket_), false);
  }
  if (error == EINPROGRESS) {
    if (!context_.loop.TryAdd(socket_.get(), kEvents | EPOLLOUT, *this)) Fail(errno);
    return;
  }
  // The place is taken by a connection to the same app (TIME_WAIT, a worker of an older generation): a bound socket
  // cannot be bound anew, so another one tries the next.
  if (restores_client_ && (error == EADDRNOTAVAIL || error == EADDRINUSE) && ++attempts_ < kMaxDialAttempts) {
    Withdraw();
    socket_.Reset();
    return context_.sockets.Provide(*this);
  }
  Fail(error);
}

// Before connect(): the kernel takes the entry when the app's socket is established.
int Dial::Announce(SourceAddresses& sources) {
  Endpoint source;
  if (const int error = BindSource(socket_.get(), sources, &source); error != 0) return error;
  announced_key_ = {source.address, destination_.address, htons(source.port), htons(destination_.port)};
  const int error = context_.clients.Announce(announced_key_, {client_.address, htons(client_.port), 0});
  announced_ = error == 0;
  return error;
}

void Dial::Withdraw() {
  if (std::exchange(announced_, false)) context_.clients.Withdraw(announced_key_);
}

void Dial::Ready(uint32_t events) {
  if (!socket_) return;  // an event of the batch in which it was cancelled
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    const int error = SocketError(socket_.get(), ECONNREFUSED);
    Cancel();
    return events_.DialFailed(error);
  }
  if ((events & EPOLLOUT) == 0) return;
  announced_ = false;
  events_.Dialed(std::move(socket_), true);
}

void Dial::Fail(int error) {
  Withdraw();
  socket_.Reset();
  events_.DialFailed(error);
}

void Dial::Cancel() {
  SocketWaiter::Unlink();
  Withdraw();
  if (!socket_) return;
  // The broker may not have closed its duplicate yet.
  context_.loop.Remove(socket_.get());
  ResetOnClose(socket_.get());
  socket_.Reset();
}

int SocketError(int socket, int otherwise) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error == 0) return otherwise;
  return error;
}

void ResetOnClose(int socket) {
  const linger abort{.l_onoff = 1, .l_linger = 0};
  if (socket >= 0) setsockopt(socket, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
}

}  // namespace weft::core
