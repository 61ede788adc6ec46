#include "skips.h"

#include <arpa/inet.h>

#include <cstring>

namespace weft::capture {

std::vector<skip_port_key> SkipPortKeys(uint32_t pod, direction direction, uint16_t first, uint16_t last) {
  std::vector<skip_port_key> keys;
  for (uint32_t port = first; port <= last;) {
    uint32_t free_bits = 0;
    while (free_bits < 16 && (port & ((2u << free_bits) - 1)) == 0 && port + (2u << free_bits) - 1 <= last) free_bits++;
    skip_port_key key{};
    key.prefix_length = 32 + 16 + 16 - free_bits;
    key.pod = htonl(pod);
    key.direction = htons(direction);
    key.port = htons(static_cast<uint16_t>(port));
    keys.push_back(key);
    port += 1u << free_bits;
  }
  return keys;
}

skip_subnet_key SkipSubnetKey(uint32_t pod, const Address& network, uint8_t prefix_length) {
  skip_subnet_key key{};
  key.prefix_length = 32u + prefix_length;
  key.pod = htonl(pod);
  memcpy(key.address.bytes, network.data(), network.size());
  return key;
}

}  // namespace weft::capture
