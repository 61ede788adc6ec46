// Two engines: what a client of the one says reaches the app of the other over mutual TLS.
#include <cerrno>
#include <set>

#include "authority.h"
#include "check.h"
#include "mesh.h"
#include "storm.h"

namespace weft::test {
namespace {

using core::Action;
using core::CloseReason;
using core::ConnectionRecord;
using core::Detected;
using core::Origin;

const std::string kClientName = "web.shop.serviceaccount.identity.weft-system.cluster.local";
const std::string kServerName = "db.shop.serviceaccount.identity.weft-system.cluster.local";

struct TwoNodes {
  TwoNodes() : client(ClientOptions()), server(ServerOptions()) {
    client.WithEngine([&](core::Engine& engine) {
      client_number = engine.Intern(kClientName);
      server_number = engine.Intern(kServerName);
      CHECK(engine.SetCredentials(client_number, authority.Issue(kClientName)) == core::tls::ContextError::kNone);
    });
    server.WithEngine([&](core::Engine& engine) {
      own_number = engine.Intern(kServerName);
      CHECK(engine.SetCredentials(own_number, authority.Issue(kServerName)) == core::tls::ContextError::kNone);
    });
  }

  MeshOptions ClientOptions() {
    MeshOptions options;
    options.decide = [this](ConnectionRecord& record) {
      const Endpoint peer = server.endpoint();
      record.decision = {};
      record.decision.action = Action::kTunnel;
      record.decision.connect_timeout_ms = 5000;
      record.decision.destination_address = peer.address;
      record.decision.destination_port = peer.port;
      record.decision.credentials = client_number;
      record.decision.expected_name = expected_number != 0 ? expected_number : server_number;
      record.decision.workload = workload;
    };
    return options;
  }

  MeshOptions ServerOptions() {
    MeshOptions options;
    options.decide = [this](ConnectionRecord& record) {
      if (record.identity.origin != Origin::kCaptured) {
        origins.push_back(record.identity);
        if (refuses) record.decision.action = Action::kRefuse;
        return;
      }
      record.decision = {};
      if (record.identity.detected == Detected::kNothing) {
        record.decision.action = Action::kDetect;
        record.decision.detect_timeout_ms = 5000;
      } else if (record.identity.detected == Detected::kTls && record.identity.server_name == own_number) {
        record.decision.action = Action::kAcceptTls;
        record.decision.credentials = own_number;
      }
    };
    return options;
  }

  std::pair<Descriptor, Descriptor> Pair() {
    Descriptor dialled = Connected(client.endpoint());
    return {std::move(dialled), Accept(server.app)};
  }

  Authority authority{"anchor"};
  uint32_t client_number = 0, server_number = 0, expected_number = 0, own_number = 0, workload = 1;
  bool refuses = false;
  std::vector<core::Identity> origins;  // of streams, as the server's decisions saw them
  Mesh client, server;
};

void CheckPasses(const std::pair<Descriptor, Descriptor>& pair) {
  Send(pair.first, "ping");
  CHECK_EQUAL(Receive(pair.second, 4), "ping");
  Send(pair.second, "pong");
  CHECK_EQUAL(Receive(pair.first, 4), "pong");
}

TEST("tunnel: bytes pass both ways, and the server knows who and from where") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  CheckPasses(pair);
  std::string peer;
  core::Identity stream{};
  nodes.server.WithEngine([&](core::Engine& engine) {
    stream = nodes.origins.at(0);
    peer = engine.NameOf(stream.peer_name);
  });
  CHECK_EQUAL(peer, kClientName);
  CHECK(stream.origin == Origin::kTunnel);
  CHECK_EQUAL(stream.remote_port, uint32_t{LocalEndpoint(pair.first).port});
}

TEST("tunnel: connections of one pod to one workload share it, those to another workload do not") {
  TwoNodes nodes;
  std::vector<std::pair<Descriptor, Descriptor>> pairs;
  for (int i = 0; i < 50; i++) pairs.push_back(nodes.Pair());
  for (const auto& pair : pairs) CheckPasses(pair);
  nodes.workload = 2;
  pairs.push_back(nodes.Pair());
  CheckPasses(pairs.back());
  std::set<uint32_t> tunnels;
  nodes.server.WithEngine([&](core::Engine&) {
    for (const core::Identity& stream : nodes.origins) tunnels.insert(stream.tunnel);
  });
  CHECK_EQUAL(tunnels.size(), 2u);
}

TEST("tunnel: half-closes and resets are passed on") {
  TwoNodes nodes;
  auto half = nodes.Pair();
  Send(half.first, "question");
  CHECK(shutdown(half.first.get(), SHUT_WR) == 0);
  CHECK_EQUAL(ReceiveAll(half.second), "question");
  Send(half.second, "answer");
  half.second.Reset();
  CHECK_EQUAL(ReceiveAll(half.first), "answer");
  auto reset = nodes.Pair();
  CheckPasses(reset);
  Reset(reset.second);
  CHECK_EQUAL(ReadError(reset.first), ECONNRESET);
  auto other = nodes.Pair();
  CheckPasses(other);
  Reset(other.first);
  CHECK_EQUAL(ReadError(other.second), ECONNRESET);
  EVENTUALLY(nodes.client.statistics().connections == 0 && nodes.server.statistics().connections == 0);
}

TEST("tunnel: a stream that the server's decision refuses is reset") {
  TwoNodes nodes;
  nodes.server.WithEngine([&](core::Engine&) { nodes.refuses = true; });
  const Descriptor client = Connected(nodes.client.endpoint());
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK(nodes.client.EndedAt(0).outcome.reason == CloseReason::kResetByUpstream);
}

TEST("tunnel: a server of another name is not spoken to") {
  TwoNodes nodes;
  nodes.client.WithEngine([&](core::Engine& engine) {
    nodes.expected_number = engine.Intern("other.shop.serviceaccount.identity.weft-system.cluster.local");
  });
  // It asks for a name that the server does not go by, so the server refuses first.
  const Descriptor client = Connected(nodes.client.endpoint());
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK(nodes.client.EndedAt(0).outcome.reason != CloseReason::kFinished);
}

TEST("tunnel: a peer of another trust domain is refused on both sides, with the reason") {
  TwoNodes nodes;
  const Authority stranger("stranger");
  nodes.client.WithEngine([&](core::Engine& engine) {
    CHECK(engine.SetCredentials(nodes.client_number, stranger.Issue(kClientName)) == core::tls::ContextError::kNone);
  });
  const Descriptor client = Connected(nodes.client.endpoint());
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  const Ended at_client = nodes.client.EndedAt(0);
  CHECK(at_client.outcome.reason == CloseReason::kTlsFailed);
  CHECK_EQUAL(at_client.outcome.error, static_cast<uint32_t>(core::tls::Reason::kUnknownAuthority));
}

TEST("tunnel: new credentials are for new connections, open ones go on") {
  TwoNodes nodes;
  const auto before = nodes.Pair();
  CheckPasses(before);
  for (int round = 0; round < 20; round++) {
    nodes.client.WithEngine(
        [&](core::Engine& engine) { engine.SetCredentials(nodes.client_number, nodes.authority.Issue(kClientName)); });
    nodes.server.WithEngine(
        [&](core::Engine& engine) { engine.SetCredentials(nodes.own_number, nodes.authority.Issue(kServerName)); });
    CheckPasses(nodes.Pair());
    CheckPasses(before);
  }
}

TEST("tunnel: when the other agent is gone its connections are reset, and new ones get a new tunnel") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  CheckPasses(pair);
  nodes.server.WithEngine([](core::Engine& engine) { engine.CloseTunnels(); });
  CHECK_EQUAL(ReadError(pair.first), ECONNRESET);
  CheckPasses(nodes.Pair());
}

TEST("tunnel: 100 MB each way") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  constexpr size_t kBytes = 100'000'000;
  std::thread sender([&] {
    const std::string block(65536, 'x');
    for (size_t sent = 0; sent < kBytes; sent += block.size()) Send(pair.first, block);
    shutdown(pair.first.get(), SHUT_WR);
  });
  size_t received = 0;
  std::vector<char> buffer(65536);
  for (ssize_t got; (got = recv(pair.second.get(), buffer.data(), buffer.size(), 0)) > 0;) {
    for (ssize_t i = 0; i < got; i++) CHECK(buffer[static_cast<size_t>(i)] == 'x');
    received += static_cast<size_t>(got);
  }
  sender.join();
  CHECK(received >= kBytes);
}

TEST("tunnel: a storm of random connections") {
  TwoNodes nodes;
  RunStorm(nodes.client.endpoint(), nodes.server.app, storm_connections / 2);
  EVENTUALLY(nodes.client.statistics().connections == 0 && nodes.server.statistics().connections == 0);
}

}  // namespace
}  // namespace weft::test
