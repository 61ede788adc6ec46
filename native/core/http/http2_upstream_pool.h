// Connections of HTTP/2 that requests are sent on. Requests of one key share one, and have another where its server
// takes no more at once.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "../connection_record.h"
#include "../dial.h"
#include "../list.h"
#include "upstream_key.h"

namespace weft::core::http {

struct Shared;
class Exchange;
class Http2UpstreamConnection;
class UpstreamSide;

struct AllLink {};

class Http2UpstreamPool {
 public:
  struct Endpoint {
    List<Http2UpstreamConnection, Http2UpstreamConnection> open;
    uint32_t open_count = 0;
    uint32_t connections = 0;  // with those that only end what is under way
  };
  struct Wanted {
    weft::core::Endpoint client;
    uint32_t connect_timeout_ms;
    uint32_t upstream_context;
  };

  explicit Http2UpstreamPool(Shared& shared) : shared_(shared) {}
  ~Http2UpstreamPool();

  // false: too many wait. Otherwise the exchange was told UpstreamIs(), and is told what becomes of it, maybe before
  // this returns.
  bool Connect(Exchange& exchange, const UpstreamKey& key, const Wanted& wanted);

  // Takes no more requests; and has ended.
  void Closing(Http2UpstreamConnection& connection);
  void Closed(Http2UpstreamConnection& connection);

  // End after what is under way.
  void RetireAll();
  void Revoke(uint32_t upstream_context);
  // The client is gone, with what only it has used.
  void EndOwnOf(const Identity& client);
  uint32_t connections() const { return connections_; }

 private:
  template <typename Condition>
  void Retire(Condition condition);
  Http2UpstreamConnection* Choose(Endpoint& endpoint);

  Shared& shared_;
  std::unordered_map<UpstreamKey, Endpoint, UpstreamKeyHash> endpoints_;
  List<Http2UpstreamConnection, AllLink> all_;
  uint32_t connections_ = 0;
  uint32_t own_ = 0;  // of single clients
};

}  // namespace weft::core::http
