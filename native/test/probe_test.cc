// An engine that probes its own listener, as between two pods of a node, and connections whose decision is taken back.
#include <cerrno>
#include <thread>

#include "authority.h"
#include "check.h"
#include "mesh.h"
#include "tls_pair.h"

namespace weft::test {
namespace {

using core::Action;
using core::CloseReason;
using core::ConnectionRecord;
using core::Detected;
using core::Origin;
using core::ProbeRequest;
using core::ProbeResult;

const std::string kClientName = "web.shop.serviceaccount.identity.weft-system.cluster.local";
const std::string kServerName = "db.shop.serviceaccount.identity.weft-system.cluster.local";

struct Node {
  Node() : mesh(Options()) {
    mesh.WithEngine([&](core::Engine& engine) {
      client = engine.Intern(kClientName);
      server = engine.Intern(kServerName);
      CHECK(engine.SetCredentials(client, authority.Issue(kClientName)) == core::tls::ContextError::kNone);
      CHECK(engine.SetCredentials(server, authority.Issue(kServerName)) == core::tls::ContextError::kNone);
    });
  }

  MeshOptions Options() {
    MeshOptions options;
    options.decide = [this](ConnectionRecord& record) {
      CHECK(record.identity.origin == Origin::kCaptured);
      record.decision = {};
      if (record.identity.detected == Detected::kNothing) {
        record.decision.action = Action::kDetect;
        record.decision.detect_timeout_ms = 5000;
      } else if (record.identity.detected == Detected::kTls) {
        record.decision.action = Action::kAcceptTls;
        record.decision.credentials = server;
      }
    };
    return options;
  }

  ProbeRequest Request() const { return {kPod, mesh.endpoint(), client, server, 2000}; }

  Authority authority{"anchor"};
  uint32_t client = 0, server = 0;
  Mesh mesh;
};

TEST("probe: passes where our own agent answers as who is expected, and leaves nothing behind") {
  Node node;
  for (uint32_t i = 0; i < 20; i++) {
    CHECK(node.mesh.Probe(node.Request()) == ProbeResult::kPassed);
    const Ended ended = node.mesh.EndedAt(i);
    CHECK(ended.outcome.reason == CloseReason::kTunnel);
    CHECK_EQUAL(node.mesh.statistics().connections, 0u);
  }
}

TEST("probe: fails where nobody listens, or somebody who is not who is expected") {
  Node node;
  ProbeRequest request = node.Request();
  {
    const Descriptor closed = Listen(LoopbackIpv4());
    request.peer = LocalEndpoint(closed);
  }
  CHECK(node.mesh.Probe(request) == ProbeResult::kFailed);

  request = node.Request();
  node.mesh.WithEngine([&](core::Engine& engine) { request.expected_name = engine.Intern("other.shop"); });
  CHECK(node.mesh.Probe(request) == ProbeResult::kFailed);

  const Authority stranger("stranger");
  node.mesh.WithEngine([&](core::Engine& engine) {
    CHECK(engine.SetCredentials(node.server, stranger.Issue(kServerName)) == core::tls::ContextError::kNone);
  });
  CHECK(node.mesh.Probe(node.Request()) == ProbeResult::kFailed);
}

TEST("probe: without a socket or an answer nothing is decided") {
  Node node;
  node.mesh.broker->SetSupply(FakeBroker::Supply::kError);
  CHECK(node.mesh.Probe(node.Request()) == ProbeResult::kUndecided);
  node.mesh.broker->SetSupply(FakeBroker::Supply::kNothing);
  ProbeRequest request = node.Request();
  request.timeout_ms = 200;
  CHECK(node.mesh.Probe(request) == ProbeResult::kUndecided);
  node.mesh.broker->SetSupply(FakeBroker::Supply::kSockets);
  CHECK(node.mesh.Probe(node.Request()) == ProbeResult::kPassed);
  request.peer = node.mesh.app_endpoint();
  CHECK(node.mesh.Probe(request) == ProbeResult::kUndecided);
}

TEST("probe: of a pod that is not there, or without credentials, nothing is decided") {
  Node node;
  ProbeRequest request = node.Request();
  request.pod = kPod + 1;
  CHECK(node.mesh.Probe(request) == ProbeResult::kUndecided);
  request = node.Request();
  request.credentials = 999;
  CHECK(node.mesh.Probe(request) == ProbeResult::kUndecided);
}

TEST("probe: an engine that closes meanwhile tells of none") {
  Node node;
  node.mesh.broker->SetSupply(FakeBroker::Supply::kNothing);
  node.mesh.WithEngine([&](core::Engine& engine) {
    for (uint32_t i = 0; i < 10; i++) engine.StartProbe(1'000'000 + i, node.Request());
  });
}

// Whether its client leaves before patience ends.
bool IsLeftWhenItFloods(const Descriptor& listener, const ContextPtr& context) {
  const Descriptor socket = Accept(listener);
  SetNonBlocking(socket, true);
  core::tls::Buffers buffers;
  const core::tls::Protocols protocols{"weft/1"};
  const auto server = core::tls::Connection::Accept(context, buffers, socket.get(), protocols);
  const std::vector<std::byte> flood(64 * 1024);
  const std::span<const std::byte> part = flood;
  return Eventually([&] { return server->Handshake() == core::tls::Status::kDone; }) && Eventually([&] {
           core::tls::Status status = core::tls::Status::kDone;
           while (status == core::tls::Status::kDone) status = server->Write(std::span(&part, 1)).status;
           return status == core::tls::Status::kFailed;
         });
}

TEST("probe: a server that floods instead of ending is left at once") {
  Node node;
  const Descriptor listener = Listen(LoopbackIpv4());
  bool left = false;
  std::thread server(
      [&, context = MakeContext(node.authority.Issue(kServerName))] { left = IsLeftWhenItFloods(listener, context); });
  ProbeRequest request = node.Request();
  request.peer = LocalEndpoint(listener);
  request.timeout_ms = 60'000;
  const ProbeResult result = node.mesh.Probe(request);
  server.join();
  CHECK(result == ProbeResult::kPassed);
  CHECK(left);
}

TEST("revoke: ends those of the connections that are open, and no others") {
  Mesh mesh;
  std::vector<std::pair<Descriptor, Descriptor>> pairs;
  for (int i = 0; i < 5; i++) {
    pairs.push_back(mesh.Pair());
    Send(pairs.back().first, "x");
    CHECK_EQUAL(Receive(pairs.back().second, 1), "x");
  }
  mesh.WithEngine([](core::Engine& engine) {
    const uint32_t ids[] = {2, 4, 77};
    engine.Revoke(ids);
  });
  for (const size_t revoked : {1, 3}) {
    CHECK_EQUAL(ReadError(pairs[revoked].first), ECONNRESET);
    CHECK_EQUAL(ReadError(pairs[revoked].second), ECONNRESET);
  }
  CHECK(mesh.EndedAt(0).outcome.reason == CloseReason::kRevoked);
  CHECK(mesh.EndedAt(1).outcome.reason == CloseReason::kRevoked);
  for (const size_t open : {0, 2, 4}) {
    Send(pairs[open].first, "y");
    CHECK_EQUAL(Receive(pairs[open].second, 1), "y");
  }
  CHECK_EQUAL(mesh.ended_count(), 2u);
}

}  // namespace
}  // namespace weft::test
