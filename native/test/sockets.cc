#include "sockets.h"

#include <fcntl.h>
#include <poll.h>

#include <cerrno>
#include <cstring>

#include "check.h"

namespace weft::test {
namespace {

constexpr int kPatienceMs = std::chrono::milliseconds(kPatience).count();

void SetDeadlines(const Descriptor& socket) {
  const timeval time{kPatience.count(), 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
  setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

}  // namespace

Endpoint LoopbackIpv4() { return {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1}}, 0}; }
Endpoint LoopbackIpv6() { return {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}}, 0}; }

Descriptor Listen(const Endpoint& address, int backlog) {
  Descriptor listener = NewSocket(address);
  const int yes = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  core::SocketAddress to;
  const socklen_t length = ToSocketAddress(address, &to);
  CHECK(bind(listener.get(), &to.any, length) == 0);
  CHECK(listen(listener.get(), backlog) == 0);
  return listener;
}

Endpoint LocalEndpoint(const Descriptor& socket) {
  core::SocketAddress address;
  socklen_t length = sizeof address;
  CHECK(getsockname(socket.get(), &address.any, &length) == 0);
  return core::ToEndpoint(address);
}

Endpoint PeerEndpoint(const Descriptor& socket) {
  core::SocketAddress address;
  socklen_t length = sizeof address;
  CHECK(getpeername(socket.get(), &address.any, &length) == 0);
  return core::ToEndpoint(address);
}

void SetNonBlocking(const Descriptor& socket, bool non_blocking) {
  const int flags = fcntl(socket.get(), F_GETFL);
  fcntl(socket.get(), F_SETFL, non_blocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

Descriptor NewSocket(const Endpoint& destination) {
  const int family = core::FamilyOf(destination.address) == 4 ? AF_INET : AF_INET6;
  Descriptor made(socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(static_cast<bool>(made));
  SetDeadlines(made);
  return made;
}

int Connect(const Descriptor& socket, const Endpoint& destination) {
  core::SocketAddress address;
  const socklen_t length = ToSocketAddress(destination, &address);
  return connect(socket.get(), &address.any, length) == 0 ? 0 : errno;
}

Descriptor Connected(const Endpoint& destination) {
  Descriptor socket = NewSocket(destination);
  CHECK_EQUAL(Connect(socket, destination), 0);
  return socket;
}

Descriptor Accept(const Descriptor& listener) {
  pollfd ready{listener.get(), POLLIN, 0};
  CHECK_EQUAL(poll(&ready, 1, kPatienceMs), 1);
  Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(static_cast<bool>(socket));
  SetDeadlines(socket);
  return socket;
}

void Send(const Descriptor& socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    CHECK(sent > 0);
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

std::string Receive(const Descriptor& socket, size_t bytes) {
  std::string result(bytes, '\0');
  size_t got = 0;
  while (got < bytes) {
    const ssize_t received = recv(socket.get(), result.data() + got, bytes - got, 0);
    CHECK(received > 0);
    got += static_cast<size_t>(received);
  }
  return result;
}

std::string ReceiveAll(const Descriptor& socket) {
  std::string result;
  for (;;) {
    char buffer[65536];
    const ssize_t received = recv(socket.get(), buffer, sizeof buffer, 0);
    CHECK(received >= 0);
    if (received == 0) return result;
    result.append(buffer, static_cast<size_t>(received));
  }
}

void Finish(const Descriptor& socket) { CHECK(shutdown(socket.get(), SHUT_WR) == 0); }

void Reset(Descriptor& socket) {
  const linger abort{1, 0};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  socket.Reset();
}

int ReadError(const Descriptor& socket) {
  for (;;) {
    char buffer[4096];
    const ssize_t received = recv(socket.get(), buffer, sizeof buffer, 0);
    if (received < 0) return errno;
    if (received == 0) return 0;
  }
}

int ConnectThenRead(const Endpoint& destination) {
  const Descriptor socket = NewSocket(destination);
  const int error = Connect(socket, destination);
  return error == 0 ? ReadError(socket) : error;
}

std::string Pattern(size_t size, uint32_t seed) {
  std::string bytes(size, '\0');
  uint32_t state = seed * 2654435761u + 1;
  for (char& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<char>(state >> 24);
  }
  return bytes;
}

FullListener::FullListener() : listener_(Listen(LoopbackIpv4(), 0)) {
  for (Descriptor& socket : waiting_) {
    socket = NewSocket(LoopbackIpv4());
    SetNonBlocking(socket, true);
    Connect(socket, endpoint());
  }
}

}  // namespace weft::test
