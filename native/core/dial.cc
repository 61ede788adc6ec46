#include "dial.h"

#include <arpa/inet.h>

#include <cerrno>

namespace weft::core {
namespace {

constexpr int kBindAttempts = 16;

}  // namespace

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

struct client_key ClientKey(const Endpoint& source, const Endpoint& app) {
  return {source.address, app.address, htons(source.port), htons(app.port)};
}

struct client ClientValue(const Endpoint& client) {
  return {client.address, htons(client.port), 0};
}

// Inside one network namespace the handshake is over when a non-blocking connect() returns EINPROGRESS: the answer was
// waiting for the socket's lock. Asking again costs one system call, where waiting for epoll costs a turn of the loop.
int Connect(int socket, const Endpoint& destination) {
  SocketAddress address;
  const socklen_t length = ToSocketAddress(destination, &address);
  if (connect(socket, &address.any, length) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  if (connect(socket, &address.any, length) == 0 || errno == EISCONN) return 0;
  return errno == EALREADY ? EINPROGRESS : errno;
}

int SocketError(int socket, int otherwise) {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error == 0) return otherwise;
  return error;
}

}  // namespace weft::core
