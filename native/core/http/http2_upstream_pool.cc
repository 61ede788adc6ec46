#include "http2_upstream_pool.h"

#include <memory>
#include <utility>
#include <vector>

#include "exchange.h"
#include "http2_upstream_connection.h"
#include "http2_upstream_stream.h"
#include "shared.h"

namespace weft::core::http {
namespace {

constexpr uint32_t kMostOfOneEndpoint = 8;
constexpr uint32_t kMostWaitingOfOne = 1024;

}  // namespace

Http2UpstreamPool::~Http2UpstreamPool() {
  while (!all_.empty()) all_.front().Close(0);
}

// Null: another one is to be made.
Http2UpstreamConnection* Http2UpstreamPool::Choose(Endpoint& endpoint) {
  Http2UpstreamConnection* free = nullptr;
  Http2UpstreamConnection* least = nullptr;
  std::vector<Http2UpstreamConnection*> old;
  endpoint.open.ForEach([&](Http2UpstreamConnection& connection) {
    if (connection.connected() && connection.IsTooOld()) {
      old.push_back(&connection);
    } else if (free == nullptr && connection.HasRoom()) {
      free = &connection;
    } else if (least == nullptr || connection.waiting() < least->waiting()) {
      least = &connection;
    }
  });
  for (Http2UpstreamConnection* connection : old) connection->Retire();
  if (free != nullptr) return free;
  return endpoint.open_count < kMostOfOneEndpoint ? nullptr : least;
}

bool Http2UpstreamPool::Connect(Exchange& exchange, const UpstreamKey& key, const Wanted& wanted) {
  Endpoint& endpoint = endpoints_[key];
  endpoint.connections++;  // stays while a connection is chosen
  Http2UpstreamConnection* connection = Choose(endpoint);
  endpoint.connections--;
  const bool is_new = connection == nullptr;
  if (is_new) {
    connection = new Http2UpstreamConnection(shared_, key, endpoint);
    endpoint.open.PushBack(*connection);
    all_.PushBack(*connection);
    endpoint.open_count++;
    endpoint.connections++;
    connections_++;
    if (key.connection != 0) own_++;
  }
  if (connection->waiting() >= kMostWaitingOfOne) return false;
  connection->set_context(wanted.upstream_context);
  auto* const side = new Http2UpstreamStream(*connection, exchange);
  exchange.UpstreamIs(*side, !is_new && connection->connected());
  connection->Add(*side);
  if (is_new) connection->Connect(wanted.client, wanted.connect_timeout_ms);
  return true;
}

void Http2UpstreamPool::Closing(Http2UpstreamConnection& connection) {
  if (!connection.Link<Http2UpstreamConnection>::linked()) return;
  connection.Link<Http2UpstreamConnection>::Unlink();
  connection.endpoint().open_count--;
}

void Http2UpstreamPool::Closed(Http2UpstreamConnection& connection) {
  connection.Link<AllLink>::Unlink();
  connections_--;
  if (connection.key().connection != 0) own_--;
  if (--connection.endpoint().connections == 0) endpoints_.erase(connection.key());
  shared_.loop.Retire(std::unique_ptr<Http2UpstreamConnection>(&connection));
}

template <typename Condition>
void Http2UpstreamPool::Retire(Condition condition) {
  std::vector<Http2UpstreamConnection*> retiring;
  for (auto& [key, endpoint] : endpoints_) {
    endpoint.open.ForEach([&](Http2UpstreamConnection& connection) {
      if (condition(connection)) retiring.push_back(&connection);
    });
  }
  for (Http2UpstreamConnection* connection : retiring) connection->Retire();
}

void Http2UpstreamPool::RetireAll() {
  Retire([](const Http2UpstreamConnection& connection) { return connection.connected(); });
}

void Http2UpstreamPool::Revoke(uint32_t upstream_context) {
  Retire([upstream_context](const Http2UpstreamConnection& connection) {
    return connection.connected() && connection.context() == upstream_context;
  });
}

void Http2UpstreamPool::EndOwnOf(const Identity& client) {
  if (own_ == 0) return;
  const auto found = endpoints_.find(OwnKey(client));
  if (found == endpoints_.end()) return;
  std::vector<Http2UpstreamConnection*> ending;
  found->second.open.ForEach([&](Http2UpstreamConnection& connection) { ending.push_back(&connection); });
  // One that is connected may be the one that has just told of the end.
  for (Http2UpstreamConnection* connection : ending)
    connection->connected() ? connection->Retire() : connection->Close(0);
}

}  // namespace weft::core::http
