// The engine's identities, and what it opens with them: tunnels to peers and probes.
#include <cerrno>
#include <utility>

#include "engine.h"

namespace weft::core {

tls::ContextError Engine::SetCredentials(uint32_t identity, const tls::Identity& credentials) {
  tls::ContextOptions options;
  options.ticket_keys = ticket_keys_;
  options.sessions = sessions_;
  tls::ContextError error = tls::ContextError::kNone;
  auto context = tls::Context::Make(credentials, options, error);
  if (!context) return error;
  credentials_[identity] = std::move(context);
  RetireTunnelsOf(identity);
  // Nor shall their peers open more, whom the anchors of now have not proven.
  tunnels_.ForEach([&](Tunnel& tunnel) {
    if (tunnel.is_served() && tunnel.identity().server_name == identity) tunnel.GoAway();
  });
  return tls::ContextError::kNone;
}

void Engine::ForgetCredentials(uint32_t identity) {
  credentials_.erase(identity);
  RetireTunnelsOf(identity);
}

// Their streams go on; whoever comes now is shown what is known now.
void Engine::RetireTunnelsOf(uint32_t credentials) {
  for (auto entry = tunnel_pool_.begin(); entry != tunnel_pool_.end();) {
    if (entry->first.credentials != credentials) {
      ++entry;
      continue;
    }
    entry->second->Retire();
    entry = tunnel_pool_.erase(entry);
  }
}

void Engine::RetireTunnels(uint32_t pod) {
  if (Pod* leaving = Find(pod)) leaving->retired = true;
  tunnels_.ForEach([&](Tunnel& tunnel) {
    if (tunnel.key().pod == pod) tunnel.Retire();
  });
}

Tunnel& Engine::MakeTunnel(const TunnelKey& key, weft1::Role role) {
  auto* tunnel = new Tunnel(tunnel_context_, key, role);
  tunnels_.PushBack(*tunnel);
  open_tunnels_++;
  return *tunnel;
}

void Engine::CloseTunnels() {
  while (!tunnels_.empty()) tunnels_.front().Close(CloseReason::kShutdown, 0);
}

void Engine::OpenTunnel(const Identity& identity, int64_t accepted_us, const Decision& decision, Descriptor client) {
  if (!credentials_.contains(decision.credentials)) {
    return Refuse(identity, accepted_us, std::move(client), CloseReason::kRefused, ENOKEY);
  }
  auto* relay = Open(new StreamRelay(stream_context_, identity, accepted_us, decision));
  relay->AwaitStream(std::move(client));
  const Endpoint peer{decision.destination_address, static_cast<uint16_t>(decision.destination_port)};
  OpenStream({identity.pod, decision.workload, decision.credentials, decision.expected_name, peer},
             decision.connect_timeout_ms, *relay);
}

bool Engine::OpenStream(const TunnelKey& key, uint32_t connect_timeout_ms, StreamWaiter& waiter) {
  const auto credentials = credentials_.find(key.credentials);
  if (credentials == credentials_.end()) return false;
  Tunnel*& pooled = tunnel_pool_[key];
  if (pooled != nullptr && pooled->TakesStreams()) {
    pooled->Open(waiter);
    return true;
  }
  if (pooled != nullptr) pooled->Retire();
  Tunnel& tunnel = MakeTunnel(key, weft1::Role::kClient);
  pooled = &tunnel;
  tunnel.Open(waiter);
  if (IsLeaving(key.pod)) tunnel.Retire();
  tunnel.Connect(credentials->second, std::string(names_.name(key.expected_name)), connect_timeout_ms);
  return true;
}

void Engine::TunnelClosed(Tunnel& tunnel) {
  const auto pooled = tunnel_pool_.find(tunnel.key());
  if (pooled != tunnel_pool_.end() && pooled->second == &tunnel) tunnel_pool_.erase(pooled);
  tunnel.Link<Tunnel>::Unlink();
  open_tunnels_--;
  loop_.Retire(std::unique_ptr<Tunnel>(&tunnel));
}

void Engine::StartProbe(uint32_t number, const ProbeRequest& request) {
  const auto credentials = credentials_.find(request.credentials);
  auto* probe = new Probe(probe_context_, number);
  probes_.PushBack(*probe);
  probe->Start(request.pod, request.peer, credentials == credentials_.end() ? nullptr : credentials->second,
               std::string(names_.name(request.expected_name)), request.timeout_ms);
}

void Engine::ProbeEnded(Probe& probe) {
  probe.Link<Probe>::Unlink();
  loop_.Retire(std::unique_ptr<Probe>(&probe));
}

}  // namespace weft::core
