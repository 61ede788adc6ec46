// A mesh of one node that ends HTTP: requests go to the app unless a test decides otherwise, and what fails is answered
// with the status that it has.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "../core/engine.h"
#include "../core/http1/error.h"
#include "check.h"
#include "mesh.h"

namespace weft::test {

using core::http::Ending;
using core::http::RequestAction;
using core::http::RequestDecision;
using core::http::RequestRecord;

class RequestDecider final : public core::http::HttpDecisions {
 public:
  // Where requests go.
  void Forward(const Endpoint& to) {
    const std::lock_guard lock(mutex_);
    forward_.action = RequestAction::kForward;
    forward_.via = core::Action::kRelayToApp;
    forward_.destination_address = to.address;
    forward_.destination_port = to.port;
    forward_.connect_timeout_ms = 2000;
  }
  void Forward(const RequestDecision& decision) {
    const std::lock_guard lock(mutex_);
    forward_ = decision;
  }
  // Changes what is decided, on the engine's thread.
  void OnEachRequest(std::function<void(RequestRecord&)> change) {
    const std::lock_guard lock(mutex_);
    change_ = std::move(change);
  }
  void OnEachFailure(std::function<void(RequestRecord&)> change) {
    const std::lock_guard lock(mutex_);
    change_failure_ = std::move(change);
  }
  // Waits for it.
  RequestRecord EndedAt(size_t index) {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, kPatience, [&] { return ended_.size() > index; }));
    return ended_[index];
  }
  RequestRecord AskedAt(size_t index) {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, kPatience, [&] { return asked_.size() > index; }));
    return asked_[index];
  }
  size_t asked() {
    const std::lock_guard lock(mutex_);
    return asked_.size();
  }
  // Of requests that were asked about at once.
  size_t most_at_once() {
    const std::lock_guard lock(mutex_);
    return most_at_once_;
  }
  size_t ended() {
    const std::lock_guard lock(mutex_);
    return ended_.size();
  }
  RequestDecision forward() {
    const std::lock_guard lock(mutex_);
    return forward_;
  }
  // Of one status with its name as the body, defined when it is needed.
  uint32_t Response(core::Engine& engine, uint32_t status) {
    core::http::SyntheticResponse response;
    response.status = status;
    response.headers.push_back({"l5d-proxy-error", "status " + std::to_string(status)});
    return engine.http().DefineResponse(std::move(response));
  }
  // From now on records are not kept to be looked at.
  void KeepNothing() {
    const std::lock_guard lock(mutex_);
    keeps_ = false;
  }
  core::Engine* engine = nullptr;

 private:
  void OnRequests(std::span<RequestRecord> records) override {
    {
      const std::lock_guard lock(mutex_);
      most_at_once_ = std::max(most_at_once_, records.size());
    }
    for (size_t i = 0; i < records.size(); i++) {
      if (engine != nullptr) engine->http().Show(i);
      OnRequest(records[i]);
    }
  }
  void OnRequest(RequestRecord& record) {
    const std::lock_guard lock(mutex_);
    if (keeps_) asked_.push_back(record);
    changed_.notify_all();
    record.decision = forward_;
    if (change_) change_(record);
  }
  void OnFailure(RequestRecord& record) override {
    const std::lock_guard lock(mutex_);
    uint32_t status = 502;
    if (record.outcome.ending == Ending::kInvalidRequest) {
      status = core::http1::Status(static_cast<core::http1::Error>(record.outcome.detail));
    } else if (record.outcome.ending >= Ending::kHoldTimeout && record.outcome.ending <= Ending::kIdleTimeout) {
      status = 504;
    }
    record.decision.action = RequestAction::kRespond;
    record.decision.response = Response(*engine, status);
    if (change_failure_) change_failure_(record);
  }
  void OnResponse(RequestRecord& record) override {
    const std::lock_guard lock(mutex_);
    if (keeps_) ended_.push_back(record);
    changed_.notify_all();
  }

  std::recursive_mutex mutex_;  // guards what follows; a decision may end exchanges
  std::condition_variable_any changed_;
  RequestDecision forward_{};
  std::function<void(RequestRecord&)> change_;
  std::function<void(RequestRecord&)> change_failure_;
  bool keeps_ = true;
  size_t most_at_once_ = 0;
  std::vector<RequestRecord> asked_;
  std::vector<RequestRecord> ended_;
};

inline core::Decision EndHttp() {
  core::Decision decision{};
  decision.action = core::Action::kHttp;
  decision.http_context = 77;
  return decision;
}

struct HttpMesh {
  explicit HttpMesh(MeshOptions options = {}) : mesh(With(std::move(options), decider)) {
    decider.Forward(mesh.app_endpoint());
    mesh.WithEngine([this](core::Engine& engine) { decider.engine = &engine; });
    mesh.Decide(EndHttp());
  }
  static MeshOptions With(MeshOptions options, RequestDecider& decider) {
    options.http = &decider;
    return options;
  }
  Descriptor Client() { return Connected(mesh.endpoint()); }
  Descriptor App() { return Accept(mesh.app); }
  // Whose first requests come in one turn.
  std::vector<Descriptor> ClientsAtOnce(size_t count, const std::string& request) {
    std::vector<Descriptor> clients;
    while (clients.size() < count) clients.push_back(Client());
    EVENTUALLY(mesh.statistics().connections == count);
    mesh.WithEngine([&](core::Engine&) {
      for (const Descriptor& client : clients) Send(client, request);
    });
    return clients;
  }

  RequestDecider decider;
  Mesh mesh;
};

// Up to the text, with it.
inline std::string ReceiveUntil(const Descriptor& socket, std::string_view end) {
  std::string text;
  while (!text.ends_with(end)) text += Receive(socket, 1);
  return text;
}
inline std::string ReceiveHead(const Descriptor& socket) { return ReceiveUntil(socket, "\r\n\r\n"); }

// Nobody has connected.
inline bool IsUnvisited(const Descriptor& listener) {
  SetNonBlocking(listener, true);
  const Descriptor socket(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  SetNonBlocking(listener, false);
  return !socket;
}

}  // namespace weft::test
