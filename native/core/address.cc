#include "address.h"

#include <arpa/inet.h>

#include <cstring>

namespace weft::core {
namespace {

constexpr uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

}  // namespace

uint32_t FamilyOf(const struct address& address) { return memcmp(address.bytes, kMapped, sizeof kMapped) == 0 ? 4 : 6; }

Endpoint ToEndpoint(const SocketAddress& from) {
  Endpoint to;
  if (from.any.sa_family == AF_INET) {
    memcpy(to.address.bytes, kMapped, sizeof kMapped);
    memcpy(to.address.bytes + sizeof kMapped, &from.ipv4.sin_addr, sizeof from.ipv4.sin_addr);
    to.port = ntohs(from.ipv4.sin_port);
  } else {
    memcpy(to.address.bytes, &from.ipv6.sin6_addr, sizeof to.address.bytes);
    to.port = ntohs(from.ipv6.sin6_port);
  }
  return to;
}

socklen_t ToSocketAddress(const Endpoint& from, SocketAddress* to) {
  memset(to, 0, sizeof *to);
  if (FamilyOf(from.address) == 4) {
    to->ipv4.sin_family = AF_INET;
    to->ipv4.sin_port = htons(from.port);
    memcpy(&to->ipv4.sin_addr, from.address.bytes + sizeof kMapped, sizeof to->ipv4.sin_addr);
    return sizeof to->ipv4;
  }
  to->ipv6.sin6_family = AF_INET6;
  to->ipv6.sin6_port = htons(from.port);
  memcpy(&to->ipv6.sin6_addr, from.address.bytes, sizeof to->ipv6.sin6_addr);
  return sizeof to->ipv6;
}

}  // namespace weft::core
