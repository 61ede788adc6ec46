// Which connections one request may share with another: those of one pod to one place, under the same identities. What
// the app or the peer is told of the client is part of it.
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
  uint32_t reserved = 0;

  bool operator==(const UpstreamKey& other) const { return memcmp(this, &other, sizeof other) == 0; }
};

static_assert(std::has_unique_object_representations_v<UpstreamKey>);

struct UpstreamKeyHash {
  size_t operator()(const UpstreamKey& key) const {
    return std::hash<std::string_view>()({reinterpret_cast<const char*>(&key), sizeof key});
  }
};

}  // namespace weft::core::http
