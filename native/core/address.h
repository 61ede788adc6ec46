// Addresses as the whole data plane holds them: 16 bytes, IPv4 as ::ffff:a.b.c.d (bpf/weft.h); ports in host order.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>

#include "../../bpf/weft.h"

namespace weft::core {

struct Endpoint {
  struct address address;
  uint16_t port;
};

union SocketAddress {
  sockaddr any;
  sockaddr_in ipv4;
  sockaddr_in6 ipv6;
};

// Of the address itself: a connection from an IPv4 client on a dual-stack socket is one of family 4.
uint32_t FamilyOf(const struct address& address);

Endpoint ToEndpoint(const SocketAddress& from);
// Returns the length to give to bind() or connect(). The socket's family is FamilyOf(the address).
socklen_t ToSocketAddress(const Endpoint& from, SocketAddress* to);

}  // namespace weft::core
