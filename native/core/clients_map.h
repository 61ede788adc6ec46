// The `clients` map of bpf/weft.h, by bpf(2): a worker needs two operations of one map, so no libbpf. Writing to a map
// whose descriptor one was given needs no capability.
#pragma once

#include "../../bpf/weft.h"

namespace weft::core {

class ClientsMap {
 public:
  explicit ClientsMap(int map) : map_(map) {}

  bool present() const { return map_ >= 0; }
  // 0 or an errno.
  int Announce(const struct client_key& key, const struct client& client) const;
  void Withdraw(const struct client_key& key) const;

 private:
  int map_;
};

}  // namespace weft::core
