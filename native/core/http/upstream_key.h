// Which connections one request may share with another: those of one pod to one place, under the same identities. What
// the app or the peer is told of the client is part of it. What goes out to where the client has dialled itself is on
// the client's own connections: whoever balances there (a node's port, a load balancer) does so by connection.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <string_view>
#include <type_traits>

#include "../connection_record.h"

namespace weft::core::http {

struct UpstreamKey {
  uint32_t pod = 0;
  Action via = Action::kRefuse;
  uint32_t app_pod = 0;
  uint32_t port = 0;
  struct address address {};
  struct address client {};
  uint32_t credentials = 0;
  uint32_t expected_name = 0;
  uint32_t workload = 0;
  uint32_t connection = 0;  // the client's, of its own ones

  bool operator==(const UpstreamKey& other) const { return memcmp(this, &other, sizeof other) == 0; }
};

static_assert(std::has_unique_object_representations_v<UpstreamKey>);

// Of what goes out to where the client has dialled.
inline UpstreamKey OwnKey(const Identity& client) {
  UpstreamKey key;
  key.pod = client.pod;
  key.via = Action::kRelayOut;
  key.port = client.local_port;
  key.address = client.local_address;
  key.connection = client.id;
  return key;
}

struct UpstreamKeyHash {
  size_t operator()(const UpstreamKey& key) const {
    return std::hash<std::string_view>()({reinterpret_cast<const char*>(&key), sizeof key});
  }
};

}  // namespace weft::core::http
