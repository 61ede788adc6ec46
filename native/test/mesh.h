// What every test of the engine needs: a broker, the engine on a thread of its own, one pod's listener, and an app to
// relay to.
#pragma once

#include <array>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../core/engine.h"
#include "fake_broker.h"
#include "sockets.h"

namespace weft::test {

constexpr uint32_t kPod = 7;

struct Ended {
  core::Identity identity;
  core::Outcome outcome;
};

inline core::Decision RelayToApp() {
  core::Decision decision{};
  decision.action = core::Action::kRelayToApp;
  decision.connect_timeout_ms = 2000;
  return decision;
}

struct MeshOptions {
  uint32_t pipes = 16;
  int clients_map = -1;
  Endpoint listen = LoopbackIpv4();
  core::Decision decision = RelayToApp();
  // Asked instead, on the engine's thread.
  std::function<void(core::ConnectionRecord&)> decide;
  uint32_t peer_timeout_ms = 30'000;
  uint32_t tunnel_idle_ms = 20'000;
  uint32_t max_age_ms = 30'000;
  uint32_t most_handshakes = 1024;
  core::http::HttpDecisions* http = nullptr;
};

class Mesh final : private core::Decisions {
 public:
  explicit Mesh(const MeshOptions& options = {});
  ~Mesh();

  Endpoint endpoint() const { return LocalEndpoint(listener); }
  // A client and the app's side of its connection.
  std::pair<Descriptor, Descriptor> Pair();

  // Runs on the engine's thread.
  void WithEngine(const std::function<void(core::Engine&)>& run);
  core::EngineStatistics statistics();
  void Decide(const core::Decision& decision);
  // The next decision is asked of this instead, on the engine's thread.
  void OnNextConnection(std::function<void(core::Engine&)> run);

  // Where decisions send connections to unless told otherwise.
  Endpoint app_endpoint() const { return LocalEndpoint(app); }

  size_t ended_count();
  // Waits for it.
  Ended EndedAt(size_t index);
  // Makes a probe from the pod and waits for its result.
  core::ProbeResult Probe(const core::ProbeRequest& request);
  void StopBroker() { broker.reset(); }
  void StartBroker();

  const std::string folder;
  std::unique_ptr<FakeBroker> broker;
  Descriptor listener;  // of the pod
  Descriptor app;       // listens where the decision points to
  std::atomic<uint32_t> listeners_seen = 0;
  std::atomic<uint32_t> listeners_gone = 0;
  std::atomic<uint32_t> brokers_lost = 0;
  std::atomic<uint32_t> drain_grace_ms = 0;

 private:
  void OnListener(uint32_t pod, uint32_t port, const struct address& ipv4, const struct address& ipv6) override;
  void OnListenerGone(uint32_t pod) override;
  void OnConnection(core::ConnectionRecord& record) override;
  void OnClose(core::ConnectionRecord& record) override;
  void OnProbe(uint32_t probe, core::ProbeResult result) override;
  void OnDrain(uint32_t grace_ms) override { drain_grace_ms = grace_ms; }
  void OnBrokerLost() override { brokers_lost++; }
  void Loop();

  core::ConnectionRecord record_{};
  core::http::RequestRecord request_record_{};
  // Fewer than may come together.
  std::array<core::http::RequestRecord, 3> request_records_{};
  const std::function<void(core::ConnectionRecord&)> decide_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  core::Decision decision_;
  std::function<void(core::Engine&)> run_;
  std::function<void(core::Engine&)> on_next_connection_;
  std::vector<Ended> ended_;
  std::map<uint32_t, core::ProbeResult> probed_;
  bool stopping_ = false;

  Descriptor wake_;
  std::unique_ptr<core::Engine> engine_;
  std::thread thread_;
};

}  // namespace weft::test
