// What the engine does with what the broker says, and without the broker.
#include <cerrno>

#include "check.h"
#include "mesh.h"

namespace weft::test {
namespace {

using core::CloseReason;

void CheckPasses(const std::pair<Descriptor, Descriptor>& pair) {
  Send(pair.first, "ping");
  CHECK_EQUAL(Receive(pair.second, 4), "ping");
  Send(pair.second, "pong");
  CHECK_EQUAL(Receive(pair.first, 4), "pong");
}

TEST("a pod that does not dial has no sockets, one that does has few") {
  Mesh mesh;
  CHECK_EQUAL(mesh.statistics().sockets_held, 0u);
  CheckPasses(mesh.Pair());
  EVENTUALLY(mesh.statistics().sockets_held > 0);
  CHECK(mesh.statistics().sockets_held <= 8);
}

TEST("connections wait for sockets, in order") {
  Mesh mesh;
  mesh.broker->SetSupply(FakeBroker::Supply::kNothing);
  std::vector<Descriptor> clients;
  for (uint32_t i = 0; i < 100; i++) {
    clients.push_back(Connected(mesh.endpoint()));
    Send(clients.back(), std::string(1, static_cast<char>(i)));
    EVENTUALLY(mesh.statistics().connections == i + 1);
  }
  mesh.broker->SetSupply(FakeBroker::Supply::kSockets);
  for (uint32_t i = 0; i < 100; i++) {
    const Descriptor app = Accept(mesh.app);
    CHECK_EQUAL(Receive(app, 1), std::string(1, static_cast<char>(i)));
  }
}

TEST("a client that is gone before a socket came is passed on whole") {
  Mesh mesh;
  mesh.broker->SetSupply(FakeBroker::Supply::kNothing);
  Descriptor client = Connected(mesh.endpoint());
  Send(client, "last words");
  client.Reset();
  EVENTUALLY(mesh.statistics().connections == 1);
  mesh.broker->SetSupply(FakeBroker::Supply::kSockets);
  CHECK_EQUAL(ReceiveAll(Accept(mesh.app)), "last words");
}

TEST("waiting for a socket ends by the connect timeout") {
  MeshOptions options;
  options.decision.connect_timeout_ms = 200;
  Mesh mesh(options);
  mesh.broker->SetSupply(FakeBroker::Supply::kNothing);
  CHECK_EQUAL(ConnectThenRead(mesh.endpoint()), ECONNRESET);
  CHECK(mesh.EndedAt(0).outcome.reason == CloseReason::kConnectTimeout);
}

TEST("an answer without sockets fails who waits") {
  Mesh mesh;
  mesh.broker->SetSupply(FakeBroker::Supply::kError);
  CHECK_EQUAL(ConnectThenRead(mesh.endpoint()), ECONNRESET);
  CHECK(mesh.EndedAt(0).outcome.reason == CloseReason::kConnectFailed);
  CHECK_EQUAL(mesh.EndedAt(0).outcome.error, static_cast<uint32_t>(ENONET));
}

TEST("without the broker the sockets in hand serve, and it is found again") {
  Mesh mesh;
  auto first = mesh.Pair();
  EVENTUALLY(mesh.statistics().sockets_held > 0);
  mesh.StopBroker();
  EVENTUALLY(mesh.brokers_lost == 1);
  CheckPasses(first);
  CheckPasses(mesh.Pair());
  mesh.StartBroker();
  EVENTUALLY(mesh.listeners_seen == 2);
  CHECK_EQUAL(mesh.statistics().listeners, 1u);
  for (int i = 0; i < 50; i++) CheckPasses(mesh.Pair());
  CheckPasses(first);
}

TEST("who waited when the broker was lost goes on when it is back") {
  MeshOptions options;
  options.decision.connect_timeout_ms = 5000;
  Mesh mesh(options);
  mesh.broker->SetSupply(FakeBroker::Supply::kNothing);
  const Descriptor client = Connected(mesh.endpoint());
  Send(client, "patient");
  EVENTUALLY(mesh.statistics().connections == 1);
  mesh.StopBroker();
  EVENTUALLY(mesh.brokers_lost == 1);
  mesh.StartBroker();
  CHECK_EQUAL(Receive(Accept(mesh.app), 7), "patient");
}

TEST("a listener that is gone is closed, its connections go on") {
  Mesh mesh;
  const auto pair = mesh.Pair();
  const Endpoint endpoint = mesh.endpoint();
  mesh.broker->RemoveListener(kPod);
  mesh.listener.Reset();
  EVENTUALLY(mesh.listeners_gone == 1);
  CHECK_EQUAL(mesh.statistics().listeners, 0u);
  CHECK_EQUAL(mesh.statistics().sockets_held, 0u);
  CHECK_EQUAL(Connect(NewSocket(endpoint), endpoint), ECONNREFUSED);
  CheckPasses(pair);
}

TEST("draining: the worker is told, stops accepting, and finishes") {
  Mesh mesh;
  auto pair = mesh.Pair();
  mesh.broker->Drain(1234);
  EVENTUALLY(mesh.drain_grace_ms == 1234);
  CheckPasses(mesh.Pair());
  mesh.WithEngine([](core::Engine& engine) { engine.StopAccepting(); });
  CHECK_EQUAL(mesh.statistics().listeners, 0u);
  CheckPasses(pair);
  pair.first.Reset();
  pair.second.Reset();
  EVENTUALLY(mesh.ended_count() == 2);
  CHECK_EQUAL(mesh.statistics().connections, 0u);
}

TEST("a decision may stop the accepting") {
  Mesh mesh;
  mesh.OnNextConnection([](core::Engine& engine) { engine.StopAccepting(); });
  CheckPasses(mesh.Pair());
  CHECK_EQUAL(mesh.statistics().listeners, 0u);
}

}  // namespace
}  // namespace weft::test
