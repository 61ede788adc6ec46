// Which open tunnel a connection may share: one of the same source pod to the same workload's port, by the same
// identities. Another pod's never, not even of the same service account, nor that of a predecessor at the same address.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>

#include "address.h"

namespace weft::core {

class Tunnel;

struct TunnelKey {
  uint32_t pod = 0;
  uint32_t workload = 0;
  uint32_t credentials = 0;
  uint32_t expected_name = 0;
  Endpoint peer{};

  bool operator<(const TunnelKey& other) const {
    if (pod != other.pod) return pod < other.pod;
    if (workload != other.workload) return workload < other.workload;
    if (credentials != other.credentials) return credentials < other.credentials;
    if (expected_name != other.expected_name) return expected_name < other.expected_name;
    if (peer.port != other.peer.port) return peer.port < other.peer.port;
    return memcmp(peer.address.bytes, other.peer.address.bytes, sizeof peer.address.bytes) < 0;
  }
};

// By key, the tunnel that was opened last.
using TunnelPool = std::map<TunnelKey, Tunnel*>;

}  // namespace weft::core
