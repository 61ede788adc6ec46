#include "engine.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <unordered_set>
#include <utility>

#include "claims.h"
#include "http/peer_byte_stream.h"

namespace weft::core {
namespace {

constexpr size_t kReceivedBytes = 64 * 1024;
constexpr size_t kMostSessions = 4096;

// A network policy that let the connection in has let it in there and nowhere else.
bool WentTo(const Identity& connection, const Endpoint& destination) {
  return connection.local_port == destination.port &&
         memcmp(connection.local_address.bytes, destination.address.bytes, sizeof destination.address.bytes) == 0;
}

}  // namespace

Engine::Pod::Pod(Engine& engine, uint32_t id)
    : ipv4(engine.loop_, engine, id, 4, engine.slot_), ipv6(engine.loop_, engine, id, 6, engine.slot_) {}

Engine::Engine(const EngineOptions& options, Decisions& decisions)
    : decisions_(decisions),
      record_(*options.record),
      slot_(options.slot),
      pipes_(options.pipes, options.pipe_bytes),
      transport_{pipes_},
      clients_(options.clients_map),
      relay_context_{{loop_, *this, clients_}, transport_, *this},
      pending_context_{loop_,        names_, std::span(transport_.buffer.get(), Transport::kCopyBytes),
                       server_name_, *this,  *this},
      stream_context_{{loop_, *this, clients_}, *this},
      stream_pending_context_{loop_, *this, *this},
      http_(stream_context_.dial, *this, *this, names_, options.http_decisions, options.request_record,
            options.request_records, options.max_age_ms),
      received_(std::make_unique_for_overwrite<std::byte[]>(kReceivedBytes)),
      sent_(std::make_unique_for_overwrite<std::byte[]>(tls::Buffers::kRecordBytes)),
      tunnel_context_{{loop_, *this, clients_},
                      tls_buffers_,
                      {received_.get(), kReceivedBytes},
                      *this,
                      options.peer_timeout_ms,
                      options.tunnel_idle_ms,
                      options.max_age_ms},
      handshakes_{options.most_handshakes, {}, 0},
      tls_context_{loop_,
                   tls_buffers_,
                   {received_.get(), kReceivedBytes},
                   {sent_.get(), tls::Buffers::kRecordBytes},
                   handshakes_,
                   *this,
                   *this},
      probe_context_{{loop_, *this, clients_}, tls_buffers_, {received_.get(), kReceivedBytes}, *this},
      ticket_keys_(std::make_shared<tls::TicketKeys>(std::vector<tls::TicketKey>())),
      sessions_(std::make_shared<tls::ClientSessions>(kMostSessions)),
      broker_(loop_, *this, options.broker_path, options.slot) {
  broker_.Connect();
}

EngineStatistics Engine::statistics() const {
  EngineStatistics statistics{connections_, accepted_, pipes_.in_use(), 0, 0, open_tunnels_};
  for (const auto& [id, pod] : pods_) {
    if (pod->listener) statistics.listeners++;
    statistics.sockets_held += static_cast<uint32_t>(pod->ipv4.size() + pod->ipv6.size());
  }
  return statistics;
}

// Peers shall not open streams here any more, as a successor takes them.
void Engine::StopAccepting() {
  accepting_ = false;
  http_.Drain();
  for (auto& [id, pod] : pods_) CloseListener(*pod);
  tunnels_.ForEach([](Tunnel& tunnel) { tunnel.Retire(); });
}

// May be called by a decision, so by code of any object here: what is not needed any more is closed, and freed with the
// engine.
void Engine::Close() {
  if (std::exchange(closed_, true)) return;
  StopAccepting();
  broker_.Close();
  while (!open_.empty()) open_.front().ShutDown(CloseReason::kShutdown);
  CloseTunnels();
  while (!probes_.empty()) probes_.front().Cancel();
  for (auto& [id, pod] : pods_) {
    pod->ipv4.Clear();
    pod->ipv6.Clear();
  }
}

Engine::Pod* Engine::Find(uint32_t id) {
  const auto found = pods_.find(id);
  return found == pods_.end() ? nullptr : found->second.get();
}

bool Engine::IsLeaving(uint32_t id) {
  const Pod* pod = Find(id);
  return !accepting_ || pod == nullptr || pod->retired;
}

void Engine::CloseListener(Pod& pod) {
  if (!pod.listener) return;
  pod.listener->Close();
  loop_.Retire(std::move(pod.listener));
}

// A pod that is gone stays while connections wait for its sockets.
void Engine::ForgetIfUnused(uint32_t id) {
  Pod* pod = Find(id);
  if (pod != nullptr && pod->gone && !pod->awaited()) pods_.erase(id);
}

// After a reconnect the broker sends its listeners again: usually the same sockets by other descriptors.
void Engine::BrokerListener(const broker::Listener& message, Descriptor socket) {
  if (!accepting_) return;
  auto& pod = pods_[message.pod];
  if (!pod) pod = std::make_unique<Pod>(*this, message.pod);
  pod->retired = pod->gone = false;
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
  pod->gone = true;
  pod->ipv4.Clear();
  pod->ipv6.Clear();
  ForgetIfUnused(id);
  if (!closed_) decisions_.OnListenerGone(id);
}

void Engine::BrokerSockets(const broker::Sockets& message, std::span<Descriptor> sockets) {
  if (Pod* pod = Find(message.pod)) pod->stock(message.family).Received(sockets, message.error);
  ForgetIfUnused(message.pod);
}

// What peers open while listeners are given up one after the other comes to the successor's, and so do requests that
// follow those of now.
void Engine::BrokerDrain(uint32_t grace_ms) {
  http_.Drain();
  tunnels_.ForEach([](Tunnel& tunnel) {
    if (tunnel.is_served()) tunnel.Retire();
  });
  decisions_.OnDrain(grace_ms);
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

// Of tunnels too: their streams are told of by them.
uint32_t Engine::NextId() {
  return ids_.Next([this](std::vector<uint32_t>& used) {
    open_.ForEach([&](Connection& connection) { used.push_back(connection.identity().id); });
    tunnels_.ForEach([&](Tunnel& tunnel) { used.push_back(tunnel.identity().id); });
  });
}

void Engine::Accepted(uint32_t pod, Descriptor socket, const Endpoint& peer) {
  SocketAddress name;
  socklen_t length = sizeof name;
  if (closed_ || getsockname(socket.get(), &name.any, &length) != 0) return;
  const Endpoint local = ToEndpoint(name);
  accepted_++;
  connections_++;
  Identity identity{.id = NextId(),
                    .pod = pod,
                    .family = FamilyOf(local.address),
                    .local_port = local.port,
                    .remote_port = peer.port,
                    .origin = Origin::kCaptured,
                    .detected = Detected::kNothing,
                    .server_name = 0,
                    .local_address = local.address,
                    .remote_address = peer.address,
                    .peer_address = peer.address,
                    .peer_name = 0,
                    .tunnel = 0,
                    .astray = 0,
                    .claimed = Detected::kNothing};
  // What the client says first is mostly here already: then decisions are asked once, and know it.
  if (const auto detected = LookAt(socket, pending_context_, identity).detected) identity.detected = *detected;
  Decide(identity, loop_.now_us(), std::move(socket));
}

void Engine::Decide(const Identity& identity, int64_t accepted_us, Descriptor client) {
  record_ = {};
  record_.identity = identity;
  decisions_.OnConnection(record_);
  if (closed_) return Refuse(identity, accepted_us, std::move(client), CloseReason::kShutdown, 0);
  Act(identity, accepted_us, Decision(record_.decision), std::move(client));
}

void Engine::Act(Identity identity, int64_t accepted_us, const Decision& decision, Descriptor client) {
  if (decision.action == Action::kTunnel || decision.action == Action::kRelayToApp) {
    identity.peer_name = decision.expected_name;
  }
  switch (decision.action) {
    case Action::kRelayToApp:
    case Action::kRelayOut:
      return Open(new Relay(relay_context_, identity, accepted_us, std::move(client)))->Start(decision);
    case Action::kDetect:
      return Open(new Pending(pending_context_, identity, accepted_us, std::move(client)))
          ->Classify(decision.detect_timeout_ms);
    case Action::kHold: {
      auto* pending = Open(new Pending(pending_context_, identity, accepted_us, std::move(client)));
      held_.emplace(identity.id, pending);
      return pending->Hold(decision.connect_timeout_ms);
    }
    case Action::kAcceptTls: {
      const auto credentials = credentials_.find(decision.credentials);
      if (credentials == credentials_.end()) break;
      return Open(new TlsConnection(tls_context_, identity, accepted_us))
          ->Accept(credentials->second, std::move(client));
    }
    case Action::kTunnel:
      return OpenTunnel(identity, accepted_us, decision, std::move(client));
    case Action::kHttp:
      if (!http_.enabled()) break;
      Open(&http_.Serve(identity, accepted_us, decision, std::move(client)));
      return;
    case Action::kRefuse:
      if (decision.alert == 0) break;
      return Open(new Pending(pending_context_, identity, accepted_us, std::move(client)))
          ->EndWithAlert(static_cast<uint8_t>(decision.alert));
  }
  Refuse(identity, accepted_us, std::move(client), CloseReason::kRefused, 0);
}

void Engine::Refuse(const Identity& identity, int64_t accepted_us, Descriptor client, CloseReason reason, int error) {
  Open(new Pending(pending_context_, identity, accepted_us, std::move(client)))->End(reason, error);
}

// A tunnel is no connection of an app; its streams are.
void Engine::TlsEstablished(TlsConnection& connection) {
  Identity identity = connection.identity();
  const int64_t accepted_us = connection.accepted_us();
  const tls::Connection& tls = connection.link().tls();
  identity.peer_name = names_.Intern(tls.peer().name);
  const bool is_agent = tls.protocol() == Tunnel::kProtocols.front();
  std::unique_ptr<SecureLink> link = connection.TakeLink();
  connection.Link<Connection>::Unlink();
  loop_.Retire(std::unique_ptr<TlsConnection>(&connection));
  if (is_agent) {
    identity.origin = Origin::kTunnel;
    identity.tunnel = identity.id;
    Tunnel& tunnel = MakeTunnel({.pod = identity.pod}, weft1::Role::kServer);
    record_ = {};
    record_.identity = identity;
    record_.outcome.reason = CloseReason::kTunnel;
    connections_--;
    decisions_.OnClose(record_);
    if (IsLeaving(identity.pod)) tunnel.Retire();
    return tunnel.Serve(identity, std::move(link));
  }
  identity.origin = Origin::kTls;
  identity.detected = Detected::kNothing;  // what is inside of it
  auto* stream = new TlsStream(tls_context_, std::move(link));
  const Decision decision = Ask(identity);
  PeerStreamEvents* const events = ActOnStream(identity, accepted_us, decision, *stream);
  if (events == nullptr) return stream->Reset();
  stream->Begin(*events);
}

PeerStreamEvents* Engine::StreamOpened(Tunnel& tunnel, PeerStream& stream, const weft1::OpenRequest& request) {
  accepted_++;
  Identity identity = tunnel.identity();
  identity.id = NextId();
  identity.detected = Detected::kNothing;  // of the stream
  identity.astray = WentTo(identity, request.destination) ? 0 : 1;
  identity.claimed = ClaimedBy(request.protocol);
  identity.family = FamilyOf(request.destination.address);
  identity.local_address = request.destination.address;
  identity.local_port = request.destination.port;
  identity.peer_address = identity.remote_address;
  identity.remote_address = request.client.address;
  identity.remote_port = request.client.port;
  connections_++;
  const Decision decision = Ask(identity);
  return ActOnStream(identity, loop_.now_us(), decision, stream);
}

Decision Engine::Ask(const Identity& identity) {
  record_ = {};
  record_.identity = identity;
  decisions_.OnConnection(record_);
  return record_.decision;
}

// Who takes the stream's events; null: it is refused.
PeerStreamEvents* Engine::ActOnStream(Identity identity, int64_t accepted_us, const Decision& decision,
                                      PeerStream& stream) {
  const bool may = !closed_ && identity.astray == 0;
  if (may && decision.action == Action::kRelayToApp) {
    auto* relay = Open(new StreamRelay(stream_context_, identity, accepted_us, decision));
    relay->TakeStream(stream);
    return relay;
  }
  // Before it is looked at, it shows what was detected of the connection that it came by.
  const bool is_new = identity.detected == Detected::kNothing || identity.detected == Detected::kTls;
  if (may && decision.action == Action::kDetect && is_new) {
    auto* pending = Open(new StreamPending(stream_pending_context_, identity, accepted_us, stream));
    pending->Classify(decision.detect_timeout_ms);
    return pending;
  }
  if (decision.action == Action::kHttp && is_new) identity.detected = identity.claimed;  // and has been believed
  if (may && decision.action == Action::kHttp && http_.enabled()) {
    auto bytes = std::make_unique<http::PeerByteStream>(loop_, stream);
    http::PeerByteStream* const events = bytes.get();
    Open(&http_.Serve(identity, accepted_us, decision, std::move(bytes)));
    return events;
  }
  connections_--;
  record_ = {};
  record_.identity = identity;
  record_.outcome.reason = CloseReason::kRefused;
  decisions_.OnClose(record_);
  return nullptr;
}

// The decision may end the connection.
void Engine::Classified(StreamPending& pending) {
  const Decision decision = Ask(pending.identity());
  if (pending.closed()) return;
  PeerStream& stream = pending.TakeStream();
  pending.Link<Connection>::Unlink();
  loop_.Retire(std::unique_ptr<StreamPending>(&pending));
  PeerStreamEvents* const events = ActOnStream(pending.identity(), pending.accepted_us(), decision, stream);
  if (events == nullptr) return stream.Reset();
  stream.HandOver(*events);
  events->Began();
  if (!pending.bytes().empty()) events->Arrived(pending.bytes());
  if (pending.ended()) events->PeerFinished();
}

// What follows is another object: this one has let go of the socket.
void Engine::Release(Pending& pending) {
  pending.Link<Connection>::Unlink();
  held_.erase(pending.identity().id);
  loop_.Retire(std::unique_ptr<Pending>(&pending));
}

void Engine::Classified(Pending& pending) {
  Descriptor client = pending.TakeSocket();
  Release(pending);
  Decide(pending.identity(), pending.accepted_us(), std::move(client));
}

bool Engine::Resume(uint32_t connection, Decision decision) {
  const auto found = held_.find(connection);
  if (found == held_.end()) return false;
  Pending& pending = *found->second;
  Descriptor client = pending.TakeSocket();
  Release(pending);
  Act(pending.identity(), pending.accepted_us(), decision, std::move(client));
  return true;
}

// What is told of one may end another of them; nothing is freed meanwhile.
void Engine::Revoke(std::span<const uint32_t> connections) {
  const std::unordered_set<uint32_t> wanted(connections.begin(), connections.end());
  std::vector<Connection*> found;
  open_.ForEach([&](Connection& connection) {
    if (wanted.contains(connection.identity().id)) found.push_back(&connection);
  });
  for (Connection* connection : found) {
    if (connection->Link<Connection>::linked()) connection->ShutDown(CloseReason::kRevoked);
  }
}

void Engine::Provide(Dial& dial) {
  Pod* pod = Find(dial.pod());
  if (pod == nullptr) return dial.NotSupplied(ENETUNREACH);
  pod->stock(dial.family()).Provide(dial);
}

void Engine::Closed(Connection& connection) {
  connection.Link<Connection>::Unlink();
  held_.erase(connection.identity().id);
  connections_--;
  record_ = {};
  record_.identity = connection.identity();
  record_.outcome = connection.outcome();
  decisions_.OnClose(record_);
  loop_.Retire(std::unique_ptr<Connection>(&connection));
}

}  // namespace weft::core
