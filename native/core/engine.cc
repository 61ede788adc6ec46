#include "engine.h"

#include <sys/socket.h>

#include <utility>

namespace weft::core {

Engine::Pod::Pod(Engine& engine, uint32_t id)
    : ipv4(engine.loop_, engine, id, 4, engine.slot_), ipv6(engine.loop_, engine, id, 6, engine.slot_) {}

Engine::Engine(const EngineOptions& options, Decisions& decisions)
    : decisions_(decisions),
      record_(*options.record),
      slot_(options.slot),
      pipes_(options.pipes, options.pipe_bytes),
      transport_{pipes_},
      clients_(options.clients_map),
      relay_context_{loop_, transport_, clients_, *this},
      broker_(loop_, *this, options.broker_path, options.slot) {
  broker_.Connect();
}

EngineStatistics Engine::statistics() const {
  EngineStatistics statistics{connections_, accepted_, pipes_.in_use(), 0, 0};
  for (const auto& [id, pod] : pods_) {
    if (pod->listener) statistics.listeners++;
    statistics.sockets_held += static_cast<uint32_t>(pod->ipv4.size() + pod->ipv6.size());
  }
  return statistics;
}

void Engine::StopAccepting() {
  accepting_ = false;
  for (auto& [id, pod] : pods_) CloseListener(*pod);
}

// May be called by a decision, so by code of any object here: what is not needed any more is closed, and freed with the
// engine.
void Engine::Close() {
  if (std::exchange(closed_, true)) return;
  StopAccepting();
  broker_.Close();
  while (!relays_.empty()) relays_.front().ShutDown();
  for (auto& [id, pod] : pods_) {
    pod->ipv4.Clear();
    pod->ipv6.Clear();
  }
}

Engine::Pod* Engine::Find(uint32_t id) {
  const auto found = pods_.find(id);
  return found == pods_.end() ? nullptr : found->second.get();
}

void Engine::CloseListener(Pod& pod) {
  if (!pod.listener) return;
  pod.listener->Close();
  loop_.Retire(std::move(pod.listener));
}

// A pod whose listener is gone stays while connections wait for its sockets.
void Engine::ForgetIfUnused(uint32_t id) {
  Pod* pod = Find(id);
  if (pod != nullptr && !pod->listener && !pod->awaited()) pods_.erase(id);
}

// After a reconnect the broker sends its listeners again: usually the same sockets by other descriptors.
void Engine::BrokerListener(const broker::Listener& message, Descriptor socket) {
  if (!accepting_) return;
  auto& pod = pods_[message.pod];
  if (!pod) pod = std::make_unique<Pod>(*this, message.pod);
  Acceptor& acceptor = *this;
  auto listener = std::make_unique<Listener>(loop_, acceptor, message.pod, std::move(socket));
  std::unique_ptr<Listener> replaced = std::exchange(pod->listener, std::move(listener));
  if (replaced) {
    replaced->AcceptRest();
    replaced->Close();
    loop_.Retire(std::move(replaced));
  }
  if (!closed_) decisions_.OnListener(message.pod, message.port, message.ipv4, message.ipv6_address);
}

void Engine::BrokerListenerGone(uint32_t id) {
  Pod* pod = Find(id);
  if (pod == nullptr) return;
  if (pod->listener) pod->listener->AcceptRest();
  CloseListener(*pod);
  pod->ipv4.Clear();
  pod->ipv6.Clear();
  ForgetIfUnused(id);
  if (!closed_) decisions_.OnListenerGone(id);
}

void Engine::BrokerSockets(const broker::Sockets& message, std::span<Descriptor> sockets) {
  if (Pod* pod = Find(message.pod)) pod->stock(message.family).Received(sockets, message.error);
  ForgetIfUnused(message.pod);
}

void Engine::BrokerWritable() {
  for (auto& [id, pod] : pods_) {
    pod->ipv4.Retry();
    pod->ipv6.Retry();
  }
}

void Engine::BrokerLost() {
  for (auto& [id, pod] : pods_) {
    pod->ipv4.SupplierLost();
    pod->ipv6.SupplierLost();
  }
  decisions_.OnBrokerLost();
}

bool Engine::Ask(const SocketStock& stock, uint32_t count) {
  return broker_.AskForSockets(stock.pod(), stock.family(), count);
}

void Engine::Accepted(uint32_t pod, Descriptor socket, const Endpoint& peer) {
  SocketAddress name;
  socklen_t length = sizeof name;
  if (closed_ || getsockname(socket.get(), &name.any, &length) != 0) return;
  const Endpoint local = ToEndpoint(name);
  accepted_++;
  connections_++;
  record_ = {};
  record_.identity = {.id = static_cast<uint32_t>(accepted_),
                      .pod = pod,
                      .family = FamilyOf(local.address),
                      .local_port = local.port,
                      .remote_port = peer.port,
                      .reserved = {},
                      .local_address = local.address,
                      .remote_address = peer.address};
  auto* relay = new Relay(relay_context_, record_.identity, std::move(socket));
  relays_.PushBack(*relay);
  decisions_.OnConnection(record_);
  if (!relay->closed()) relay->Start(record_.decision);
}

void Engine::Provide(Relay& relay) {
  Pod* pod = Find(relay.identity().pod);
  if (pod == nullptr) return relay.NotSupplied(ENETUNREACH);
  pod->stock(relay.destination_family()).Provide(relay);
}

void Engine::Closed(Relay& relay) {
  relay.Link<Relay>::Unlink();
  connections_--;
  record_.identity = relay.identity();
  record_.outcome = relay.outcome();
  decisions_.OnClose(record_);
  loop_.Retire(std::unique_ptr<Relay>(&relay));
}

}  // namespace weft::core
