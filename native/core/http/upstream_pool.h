// Connections that requests are sent on. One that is free waits for the next request with its key; the one that was
// used last is taken first, so that those which are not needed grow old.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "../list.h"
#include "upstream_key.h"

namespace weft::core::http {

struct Shared;
class UpstreamConnection;
struct IdleLink;

class UpstreamPool {
 public:
  struct Endpoint {
    List<UpstreamConnection, IdleLink> idle;
    uint32_t idle_count = 0;
    uint32_t connections = 0;
  };

  explicit UpstreamPool(Shared& shared) : shared_(shared) {}
  ~UpstreamPool();

  // Null: none is free. `surely`: the request cannot be sent twice, so that the connection is looked at once more.
  UpstreamConnection* Take(const UpstreamKey& key, bool surely);
  UpstreamConnection& Make(const UpstreamKey& key);
  // It is free, and may be closed now.
  void Put(UpstreamConnection& connection);
  // Told once by each.
  void Closed(UpstreamConnection& connection);

  void CloseIdle();
  // Those that were used for this context last and are free.
  void Revoke(uint32_t upstream_context);
  // The client is gone, with what only it has used.
  void EndOwnOf(const Identity& client);
  uint32_t connections() const { return connections_; }
  uint32_t idle() const { return idle_; }

 private:
  template <typename Condition>
  void CloseIdle(Condition condition);
  void Unidle(UpstreamConnection& connection);

  Shared& shared_;
  std::unordered_map<UpstreamKey, Endpoint, UpstreamKeyHash> endpoints_;
  uint32_t connections_ = 0;
  uint32_t own_ = 0;  // of single clients
  uint32_t idle_ = 0;
};

}  // namespace weft::core::http
