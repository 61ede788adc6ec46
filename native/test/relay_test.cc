// How one connection's bytes, FINs and RSTs pass.
#include <cerrno>
#include <cstring>

#include "check.h"
#include "mesh.h"

namespace weft::test {
namespace {

using core::CloseReason;

uint32_t Number(CloseReason reason) { return static_cast<uint32_t>(reason); }

void CheckEnd(Mesh& mesh, CloseReason reason, uint32_t error = 0) {
  const Ended ended = mesh.EndedAt(0);
  CHECK_EQUAL(Number(ended.outcome.reason), Number(reason));
  CHECK_EQUAL(ended.outcome.error, error);
  CHECK_EQUAL(mesh.statistics().connections, 0u);
  CHECK_EQUAL(mesh.statistics().pipes_in_use, 0u);
  CHECK_EQUAL(mesh.ended_count(), 1u);
}

void CheckEcho(Mesh& mesh) {
  auto [client, app] = mesh.Pair();
  Send(client, "question");
  CHECK_EQUAL(Receive(app, 8), "question");
  Send(app, "answer");
  CHECK_EQUAL(Receive(client, 6), "answer");
  client.Reset();
  CHECK_EQUAL(ReadError(app), 0);
  app.Reset();
  const Ended ended = mesh.EndedAt(0);
  CHECK_EQUAL(Number(ended.outcome.reason), Number(CloseReason::kFinished));
  CHECK_EQUAL(ended.outcome.bytes_to_upstream, 8.0);
  CHECK_EQUAL(ended.outcome.bytes_to_client, 6.0);
  CHECK(ended.outcome.duration_ms > 0 && ended.outcome.duration_ms < 5000);
  CHECK_EQUAL(ended.identity.pod, kPod);
  CHECK_EQUAL(ended.identity.local_port, uint32_t{mesh.endpoint().port});
}

TEST("echo over IPv4") {
  Mesh mesh;
  CheckEcho(mesh);
  CHECK_EQUAL(mesh.EndedAt(0).identity.family, 4u);
}

TEST("echo over IPv6") {
  MeshOptions options;
  options.listen = LoopbackIpv6();
  Mesh mesh(options);
  CheckEcho(mesh);
  CHECK_EQUAL(mesh.EndedAt(0).identity.family, 6u);
}

TEST("an IPv4 client of a dual-stack listener is of family 4") {
  MeshOptions options;
  options.listen = Endpoint{};
  Mesh mesh(options);
  Endpoint endpoint = LoopbackIpv4();
  endpoint.port = mesh.endpoint().port;
  const Descriptor client = Connected(endpoint);
  const Descriptor app = Accept(mesh.app);
  Send(client, "x");
  CHECK_EQUAL(Receive(app, 1), "x");
  mesh.WithEngine([](core::Engine& engine) { engine.Close(); });
  const core::Identity identity = mesh.EndedAt(0).identity;
  CHECK_EQUAL(identity.family, 4u);
  CHECK(memcmp(&identity.local_address, &endpoint.address, sizeof endpoint.address) == 0);
}

TEST("what the client sends after the server's FIN arrives") {
  Mesh mesh;
  auto pair = mesh.Pair();
  auto &client = pair.first, &app = pair.second;
  const std::string bytes = Pattern(3'000'000, 1);
  Send(app, "greeting");
  Finish(app);
  CHECK_EQUAL(ReceiveAll(client), "greeting");
  std::thread sender([&] {
    Send(client, bytes);
    Finish(client);
  });
  const bool same = ReceiveAll(app) == bytes;
  sender.join();
  CHECK(same);
  CheckEnd(mesh, CloseReason::kFinished);
}

TEST("what the server sends after the client's FIN arrives") {
  Mesh mesh;
  auto pair = mesh.Pair();
  auto &client = pair.first, &app = pair.second;
  const std::string bytes = Pattern(3'000'000, 2);
  Send(client, "request");
  Finish(client);
  CHECK_EQUAL(ReceiveAll(app), "request");
  std::thread sender([&] {
    Send(app, bytes);
    app.Reset();
  });
  const bool same = ReceiveAll(client) == bytes;
  sender.join();
  CHECK(same);
  CheckEnd(mesh, CloseReason::kFinished);
}

TEST("a client's RST reaches the app") {
  Mesh mesh;
  auto [client, app] = mesh.Pair();
  Send(client, "x");
  Receive(app, 1);
  Reset(client);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnd(mesh, CloseReason::kResetByClient, ECONNRESET);
}

TEST("an app's RST reaches the client after the bytes before it") {
  Mesh mesh;
  auto pair = mesh.Pair();
  auto &client = pair.first, &app = pair.second;
  Send(client, "unread");
  EVENTUALLY(recv(app.get(), nullptr, 0, MSG_DONTWAIT) == 0);
  Send(app, "413");
  app.Reset();  // with bytes unread: close() sends RST
  CHECK_EQUAL(Receive(client, 3), "413");
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CheckEnd(mesh, CloseReason::kResetByUpstream, ECONNRESET);
}

TEST("an RST from a side that takes no more bytes is seen") {
  Mesh mesh;
  auto pair = mesh.Pair();
  auto &client = pair.first, &app = pair.second;
  SetNonBlocking(client, true);
  const std::string bytes(1 << 20, 'x');
  EVENTUALLY(send(client.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) < 0);
  Reset(app);
  SetNonBlocking(client, false);
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK_EQUAL(Number(mesh.EndedAt(0).outcome.reason), Number(CloseReason::kResetByUpstream));
}

TEST("a refused connection is reset") {
  MeshOptions options;
  options.decision.action = core::Action::kRefuse;
  Mesh mesh(options);
  CHECK_EQUAL(ConnectThenRead(mesh.endpoint()), ECONNRESET);
  CheckEnd(mesh, CloseReason::kRefused);
}

TEST("an unknown action refuses") {
  MeshOptions options;
  options.decision.action = static_cast<core::Action>(99);
  Mesh mesh(options);
  CHECK_EQUAL(ConnectThenRead(mesh.endpoint()), ECONNRESET);
  CheckEnd(mesh, CloseReason::kRefused);
}

TEST("a destination that refuses") {
  Mesh mesh;
  mesh.app.Reset();
  CHECK_EQUAL(ConnectThenRead(mesh.endpoint()), ECONNRESET);
  CheckEnd(mesh, CloseReason::kConnectFailed, ECONNREFUSED);
}

core::Decision DecisionFor(const Endpoint& destination, uint32_t connect_timeout_ms) {
  core::Decision decision{};
  decision.action = core::Action::kRelayOut;
  decision.connect_timeout_ms = connect_timeout_ms;
  decision.destination_port = destination.port;
  decision.destination_address = destination.address;
  return decision;
}

TEST("a destination that does not answer") {
  const FullListener full;
  Mesh mesh;
  mesh.Decide(DecisionFor(full.endpoint(), 300));
  CHECK_EQUAL(ConnectThenRead(mesh.endpoint()), ECONNRESET);
  CheckEnd(mesh, CloseReason::kConnectTimeout, ETIMEDOUT);
  const double duration = mesh.EndedAt(0).outcome.duration_ms;
  CHECK(duration >= 300 && duration < 1500);
}

TEST("a client that goes before the connection is made") {
  const FullListener full;
  Mesh mesh;
  mesh.Decide(DecisionFor(full.endpoint(), 300));
  Descriptor client = Connected(mesh.endpoint());
  EVENTUALLY(mesh.statistics().connections == 1);
  Reset(client);
  CheckEnd(mesh, CloseReason::kConnectTimeout, ETIMEDOUT);
}

TEST("an idle connection ends, one with traffic does not") {
  MeshOptions options;
  options.decision.idle_timeout_ms = 300;
  Mesh mesh(options);
  auto [client, app] = mesh.Pair();
  for (int i = 0; i < 8; i++) {
    Send(app, "tick");
    CHECK_EQUAL(Receive(client, 4), "tick");
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  CHECK_EQUAL(mesh.ended_count(), 0u);
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnd(mesh, CloseReason::kIdleTimeout, ETIMEDOUT);
}

TEST("urgent data does not stop what follows it") {
  Mesh mesh;
  auto [client, app] = mesh.Pair();
  for (int i = 0; i < 50; i++) {
    CHECK(send(client.get(), "abc!", 4, MSG_OOB) == 4);  // "!" is urgent, and out of the stream
    Send(client, "def");
    CHECK_EQUAL(Receive(app, 6), "abcdef");
  }
}

TEST("closing the engine resets every connection") {
  Mesh mesh;
  auto [client, app] = mesh.Pair();
  mesh.WithEngine([](core::Engine& engine) { engine.Close(); });
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnd(mesh, CloseReason::kShutdown);
}

TEST("a decision may close the engine") {
  Mesh mesh;
  auto [client, app] = mesh.Pair();
  mesh.OnNextConnection([](core::Engine& engine) { engine.Close(); });
  const Descriptor second = NewSocket(mesh.endpoint());
  Connect(second, mesh.endpoint());
  CHECK_EQUAL(Number(mesh.EndedAt(0).outcome.reason), Number(CloseReason::kShutdown));
  CHECK_EQUAL(Number(mesh.EndedAt(1).outcome.reason), Number(CloseReason::kShutdown));
  CHECK_EQUAL(ReadError(client), ECONNRESET);
}

}  // namespace
}  // namespace weft::test
