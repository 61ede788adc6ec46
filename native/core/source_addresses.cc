#include "source_addresses.h"

#include <sys/random.h>

#include <cstring>

namespace weft::core {
namespace {

constexpr uint32_t kFirstHost = 1, kLastHost = 254;
// Below lie the privileged ports (ip(7), ip_unprivileged_port_start).
constexpr uint32_t kFirstPort = 1024, kLastPort = 65535;
constexpr uint32_t kPorts = kLastPort - kFirstPort + 1;

uint32_t Random() {
  uint32_t value = 0;
  if (getrandom(&value, sizeof value, GRND_NONBLOCK) != sizeof value) value = 0;
  return value;
}

}  // namespace

SourceAddresses::SourceAddresses(uint32_t family, uint32_t slot)
    : family_(family),
      slot_(slot % WEFT_MAX_WORKERS),
      hosts_((kLastHost - kFirstHost - slot_) / WEFT_MAX_WORKERS + 1),
      place_(Random() % (hosts_ * kPorts)) {}

Endpoint SourceAddresses::Next() {
  place_ = (place_ + 1) % (hosts_ * kPorts);
  const uint8_t host = static_cast<uint8_t>(kFirstHost + slot_ + place_ % hosts_ * WEFT_MAX_WORKERS);
  const uint16_t port = static_cast<uint16_t>(kFirstPort + place_ / hosts_);
  if (family_ == 4) {
    constexpr uint32_t kPrefix = WEFT_SOURCE_PREFIX_V4;
    return {
        {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, kPrefix >> 24, kPrefix >> 16 & 0xff, kPrefix >> 8 & 0xff, host}},
        port};
  }
  Endpoint source{{}, port};
  memcpy(source.address.bytes, WEFT_SOURCE_PREFIX_V6, 8);
  source.address.bytes[15] = host;
  return source;
}

}  // namespace weft::core
