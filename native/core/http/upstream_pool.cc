#include "upstream_pool.h"

#include <memory>
#include <utility>
#include <vector>

#include "shared.h"
#include "upstream_connection.h"

namespace weft::core::http {
namespace {

constexpr uint32_t kMostIdleOfOneEndpoint = 256;
constexpr uint32_t kMostIdle = 4096;

}  // namespace

UpstreamPool::~UpstreamPool() { CloseIdle(); }

UpstreamConnection* UpstreamPool::Take(const UpstreamKey& key, bool surely) {
  const auto found = endpoints_.find(key);
  if (found == endpoints_.end()) return nullptr;
  Endpoint& endpoint = found->second;
  // With the last connection of an endpoint goes the endpoint.
  while (endpoint.idle_count > 0) {
    UpstreamConnection& connection = endpoint.idle.front();
    Unidle(connection);
    const ByteStream& stream = connection.stream();
    const bool usable = !connection.IsTooOld() && (surely ? stream.IsAlive() : stream.IsQuiet());
    if (usable) return &connection;
    const bool last = endpoint.connections == 1;
    connection.Close(false);
    if (last) break;
  }
  return nullptr;
}

UpstreamConnection& UpstreamPool::Make(const UpstreamKey& key) {
  Endpoint& endpoint = endpoints_[key];
  endpoint.connections++;
  connections_++;
  if (key.connection != 0) own_++;
  return *new UpstreamConnection(shared_, key, endpoint);
}

void UpstreamPool::Put(UpstreamConnection& connection) {
  Endpoint& endpoint = connection.endpoint();
  if (shared_.draining || connection.IsTooOld() || endpoint.idle_count >= kMostIdleOfOneEndpoint ||
      idle_ >= kMostIdle) {
    return connection.Close(false);
  }
  endpoint.idle.PushFront(connection);
  endpoint.idle_count++;
  idle_++;
  connection.Rest();
}

void UpstreamPool::Unidle(UpstreamConnection& connection) {
  if (!connection.Link<IdleLink>::linked()) return;
  connection.Link<IdleLink>::Unlink();
  connection.endpoint().idle_count--;
  idle_--;
}

void UpstreamPool::Closed(UpstreamConnection& connection) {
  Unidle(connection);
  connections_--;
  if (connection.key().connection != 0) own_--;
  if (--connection.endpoint().connections == 0) endpoints_.erase(connection.key());
  shared_.loop.Retire(std::unique_ptr<UpstreamConnection>(&connection));
}

template <typename Condition>
void UpstreamPool::CloseIdle(Condition condition) {
  std::vector<UpstreamConnection*> closing;
  for (auto& [key, endpoint] : endpoints_) {
    endpoint.idle.ForEach([&](UpstreamConnection& connection) {
      if (condition(connection)) closing.push_back(&connection);
    });
  }
  for (UpstreamConnection* connection : closing) connection->Close(false);
}

void UpstreamPool::CloseIdle() {
  CloseIdle([](const UpstreamConnection&) { return true; });
}

void UpstreamPool::Revoke(uint32_t upstream_context) {
  CloseIdle(
      [upstream_context](const UpstreamConnection& connection) { return connection.context() == upstream_context; });
}

// Where the exchange that is under way has ended, all of them are idle.
void UpstreamPool::EndOwnOf(const Identity& client) {
  if (own_ == 0) return;
  const auto found = endpoints_.find(OwnKey(client));
  if (found == endpoints_.end()) return;
  // With the last connection of an endpoint goes the endpoint.
  for (uint32_t count = found->second.idle_count; count > 0; count--) found->second.idle.front().Close(false);
}

}  // namespace weft::core::http
