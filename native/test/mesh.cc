#include "mesh.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "check.h"

namespace weft::test {
namespace {

std::string TemporaryFolder() {
  char path[] = "/tmp/weft-engine-XXXXXX";
  CHECK(mkdtemp(path) != nullptr);
  return path;
}

}  // namespace

Mesh::Mesh(const MeshOptions& options)
    : folder(TemporaryFolder()),
      listener(Listen(options.listen)),
      decide_(options.decide),
      decision_(options.decision),
      wake_(eventfd(0, EFD_CLOEXEC)) {
  const Endpoint app_address = core::FamilyOf(options.listen.address) == 4 ? LoopbackIpv4() : LoopbackIpv6();
  app = Listen(app_address);
  const Endpoint destination = LocalEndpoint(app);
  decision_.destination_address = destination.address;
  decision_.destination_port = destination.port;
  StartBroker();
  core::EngineOptions engine_options;
  engine_options.broker_path = folder + "/broker.sock";
  engine_options.clients_map = options.clients_map;
  engine_options.pipes = options.pipes;
  engine_options.pipe_bytes = 1 << 20;
  engine_options.record = &record_;
  engine_options.peer_timeout_ms = options.peer_timeout_ms;
  engine_options.tunnel_idle_ms = options.tunnel_idle_ms;
  engine_options.max_age_ms = options.max_age_ms;
  engine_options.most_handshakes = options.most_handshakes;
  engine_options.request_record = &request_record_;
  engine_options.request_records = request_records_;
  engine_options.http_decisions = options.http;
  core::Decisions& decisions = *this;
  engine_ = std::make_unique<core::Engine>(engine_options, decisions);
  thread_ = std::thread([this] { Loop(); });
  EVENTUALLY(listeners_seen == 1);
}

Mesh::~Mesh() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  eventfd_write(wake_.get(), 1);
  thread_.join();
  engine_.reset();
  broker.reset();
  rmdir(folder.c_str());
}

void Mesh::Loop() {
  for (;;) {
    pollfd ready[2] = {{engine_->descriptor(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    poll(ready, 2, -1);
    if (ready[0].revents != 0) engine_->Turn();
    if (ready[1].revents == 0) continue;
    eventfd_t ignored;
    eventfd_read(wake_.get(), &ignored);
    std::unique_lock lock(mutex_);
    if (stopping_) return;
    if (!run_) continue;
    const auto run = run_;
    lock.unlock();
    run(*engine_);
    lock.lock();
    run_ = nullptr;
    changed_.notify_all();
  }
}

void Mesh::WithEngine(const std::function<void(core::Engine&)>& run) {
  std::unique_lock lock(mutex_);
  run_ = run;
  eventfd_write(wake_.get(), 1);
  CHECK(changed_.wait_for(lock, kPatience, [&] { return !run_; }));
}

core::EngineStatistics Mesh::statistics() {
  core::EngineStatistics statistics;
  WithEngine([&](core::Engine& engine) { statistics = engine.statistics(); });
  return statistics;
}

void Mesh::Decide(const core::Decision& decision) {
  const std::lock_guard lock(mutex_);
  decision_ = decision;
}

void Mesh::OnNextConnection(std::function<void(core::Engine&)> run) {
  const std::lock_guard lock(mutex_);
  on_next_connection_ = std::move(run);
}

void Mesh::StartBroker() {
  broker = std::make_unique<FakeBroker>(folder + "/broker.sock");
  broker->AddListener(kPod, listener);
}

std::pair<Descriptor, Descriptor> Mesh::Pair() {
  Descriptor client = Connected(endpoint());
  return {std::move(client), Accept(app)};
}

size_t Mesh::ended_count() {
  const std::lock_guard lock(mutex_);
  return ended_.size();
}

Ended Mesh::EndedAt(size_t index) {
  std::unique_lock lock(mutex_);
  CHECK(changed_.wait_for(lock, kPatience, [&] { return ended_.size() > index; }));
  return ended_[index];
}

core::ProbeResult Mesh::Probe(const core::ProbeRequest& request) {
  static std::atomic<uint32_t> last = 0;
  const uint32_t number = ++last;
  WithEngine([&](core::Engine& engine) {
    engine.StartProbe(number, request);
    const std::lock_guard lock(mutex_);
    CHECK(probed_.empty());
  });
  std::unique_lock lock(mutex_);
  CHECK(changed_.wait_for(lock, kPatience, [&] { return probed_.contains(number); }));
  const core::ProbeResult result = probed_.at(number);
  probed_.clear();
  return result;
}

void Mesh::OnProbe(uint32_t probe, core::ProbeResult result) {
  const std::lock_guard lock(mutex_);
  CHECK(probed_.emplace(probe, result).second);
  changed_.notify_all();
}

void Mesh::OnListener(uint32_t pod, uint32_t /*port*/, const struct address&, const struct address&) {
  if (pod == kPod) listeners_seen++;
}

void Mesh::OnListenerGone(uint32_t pod) {
  if (pod == kPod) listeners_gone++;
}

void Mesh::OnConnection(core::ConnectionRecord& record) {
  std::unique_lock lock(mutex_);
  record.decision = decision_;
  if (decide_) decide_(record);
  if (const auto run = std::exchange(on_next_connection_, nullptr)) {
    lock.unlock();
    run(*engine_);
  }
}

void Mesh::OnClose(core::ConnectionRecord& record) {
  const std::lock_guard lock(mutex_);
  ended_.push_back({record.identity, record.outcome});
  changed_.notify_all();
}

}  // namespace weft::test
