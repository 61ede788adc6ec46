// Two engines: what a client of the one says reaches the app of the other over mutual TLS.
#include <dirent.h>
#include <linux/filter.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <chrono>
#include <optional>
#include <set>

#include "storm.h"
#include "two_nodes.h"

namespace weft::test {
namespace {

using core::Action;
using core::CloseReason;
using core::ConnectionRecord;
using core::Detected;
using core::Origin;

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

TEST(
    "tunnel: a connection that was held is opened on the tunnel that is there when it is resumed, not at the next "
    "event") {
  TwoNodes nodes;
  const auto before = nodes.Pair();
  CheckPasses(before);
  core::Decision decision{};
  uint32_t held = 0;
  nodes.holds = [&](ConnectionRecord& record) {
    decision = record.decision;
    held = record.identity.id;
  };
  const Descriptor client = Connected(nodes.client.endpoint());
  Send(client, "ping");
  EVENTUALLY(nodes.client.statistics().connections == 2);
  const auto began = std::chrono::steady_clock::now();
  nodes.client.WithEngine([&](core::Engine& engine) { CHECK(engine.Resume(held, decision)); });
  const Descriptor served = Accept(nodes.server.app);
  CHECK_EQUAL(Receive(served, 4), "ping");
  CHECK(std::chrono::steady_clock::now() - began < std::chrono::milliseconds(500));
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

TEST("tunnel: credentials that are forgotten are for nobody, open connections go on") {
  TwoNodes nodes;
  const auto before = nodes.Pair();
  CheckPasses(before);
  nodes.client.WithEngine([&](core::Engine& engine) { engine.ForgetCredentials(nodes.client_number); });
  CHECK_EQUAL(ConnectThenRead(nodes.client.endpoint()), ECONNRESET);
  const Ended ended = nodes.client.EndedAt(0);
  CHECK(ended.outcome.reason == CloseReason::kRefused);
  CHECK_EQUAL(ended.outcome.error, static_cast<uint32_t>(ENOKEY));
  CheckPasses(before);
  nodes.client.WithEngine([&](core::Engine& engine) {
    engine.ForgetCredentials(nodes.client_number);  // as often as one likes
    engine.SetCredentials(nodes.client_number, nodes.authority.Issue(kClientName));
  });
  CheckPasses(nodes.Pair());
  nodes.server.WithEngine([&](core::Engine& engine) { engine.ForgetCredentials(nodes.own_number); });
  CheckPasses(nodes.Pair());  // over the tunnel that is there
  CheckPasses(before);
}

TEST("tunnel: when the other agent is gone its connections are reset, and new ones get a new tunnel") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  CheckPasses(pair);
  nodes.server.WithEngine([](core::Engine& engine) { engine.CloseTunnels(); });
  CHECK_EQUAL(ReadError(pair.first), ECONNRESET);
  CheckPasses(nodes.Pair());
}

TEST("tunnel: of a pod that leaves open connections go on, none is lost, and new ones get another tunnel") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  CheckPasses(pair);
  nodes.server.WithEngine([](core::Engine& engine) { engine.RetireTunnels(kPod); });
  // Some of these are opened before the client has heard.
  for (int i = 0; i < 100; i++) CheckPasses(nodes.Pair());
  CheckPasses(pair);
  std::set<uint32_t> tunnels;
  nodes.server.WithEngine([&](core::Engine&) {
    for (const core::Identity& stream : nodes.origins) tunnels.insert(stream.tunnel);
  });
  CHECK(tunnels.size() > 1);
}

TEST("tunnel: an engine that stops accepting loses no connection, and its peer ends the tunnels with the last one") {
  TwoNodes nodes;
  {
    const auto pair = nodes.Pair();
    CheckPasses(pair);
    nodes.server.WithEngine([](core::Engine& engine) { engine.StopAccepting(); });
    CheckPasses(pair);
    CHECK_EQUAL(nodes.server.statistics().tunnels, 1u);
  }
  EVENTUALLY(nodes.server.statistics().tunnels == 0);
  CHECK_EQUAL(nodes.client.statistics().tunnels, 0u);
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

// What may reach a socket is decided by its filter: from now on nothing does, as if its node had lost power.
void CutOff(int socket) {
  sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
  const sock_fprog program{1, &drop};
  CHECK(setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0);
}

// Of this process, the sockets that were accepted from there.
std::vector<int> AcceptedAt(const Endpoint& listener) {
  std::vector<int> found;
  DIR* folder = opendir("/proc/self/fd");
  while (const dirent* entry = readdir(folder)) {
    core::SocketAddress local, peer;
    socklen_t local_length = sizeof local, peer_length = sizeof peer;
    const int fd = atoi(entry->d_name);
    if (getsockname(fd, &local.any, &local_length) != 0 || getpeername(fd, &peer.any, &peer_length) != 0) continue;
    if (local.any.sa_family != AF_UNIX && Same(core::ToEndpoint(local), listener)) found.push_back(fd);
  }
  closedir(folder);
  return found;
}

TEST("tunnel: a peer that is gone without a word is noticed, with what was sent to it") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  CheckPasses(pair);
  const std::vector<int> tunnels = AcceptedAt(nodes.server.endpoint());
  CHECK_EQUAL(tunnels.size(), 1u);
  CutOff(tunnels[0]);
  Send(pair.first, "lost");
  CHECK_EQUAL(ReadError(pair.first), ECONNRESET);
  const Ended ended = nodes.client.EndedAt(0);
  CHECK(ended.outcome.reason == CloseReason::kResetByUpstream);
  CHECK_EQUAL(ended.outcome.error, static_cast<uint32_t>(ETIMEDOUT));
}

TEST("tunnel: an app that does not read for longer than a dead peer is waited for keeps its connection") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  SetNonBlocking(pair.first, true);
  const std::string block(65536, 'x');
  const auto fill = [&] {
    size_t filled = 0;
    for (ssize_t sent; (sent = send(pair.first.get(), block.data(), block.size(), MSG_NOSIGNAL)) > 0;) {
      filled += static_cast<size_t>(sent);
    }
    CHECK_EQUAL(errno, EAGAIN);
    return filled;
  };
  size_t filled = 0;
  const auto begin = std::chrono::steady_clock::now();
  while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(2 * kPeerTimeoutMs)) {
    filled += fill();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  CHECK(filled > 0);
  SetNonBlocking(pair.first, false);
  shutdown(pair.first.get(), SHUT_WR);
  CHECK_EQUAL(ReceiveAll(pair.second).size(), filled);
}

TEST("tunnel: one without streams is closed, by the client: the server waits three times as long") {
  constexpr uint32_t kIdleMs = 400;
  TwoNodes nodes(kIdleMs);
  {
    const auto pair = nodes.Pair();
    std::this_thread::sleep_for(std::chrono::milliseconds(4 * kIdleMs));
    CheckPasses(pair);
  }
  EVENTUALLY(AcceptedAt(nodes.server.endpoint()).empty());
  RawPeer peer(nodes);
  peer.Send(RawHello());
  std::this_thread::sleep_for(std::chrono::milliseconds(2 * kIdleMs));
  peer.Send(OpenTo(1, nodes.server.endpoint()));
  const Descriptor served = Accept(nodes.server.app);
  peer.Send(RawFrame(weft1::FrameType::kReset, 1, Numbers({2})));
  CHECK_EQUAL(ReadError(served), ECONNRESET);
  EVENTUALLY(AcceptedAt(nodes.server.endpoint()).empty());
}

TEST("tunnel: the engine may be closed by the decision on a stream") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  CheckPasses(pair);
  nodes.server.OnNextConnection([](core::Engine& engine) { engine.Close(); });
  CHECK_EQUAL(ConnectThenRead(nodes.client.endpoint()), ECONNRESET);
  CHECK_EQUAL(ReadError(pair.first), ECONNRESET);
}

TEST("tunnel: a storm of random connections") {
  TwoNodes nodes;
  RunStorm(nodes.client.endpoint(), nodes.server.app, storm_connections / 2);
  EVENTUALLY(nodes.client.statistics().connections == 0 && nodes.server.statistics().connections == 0);
}

}  // namespace
}  // namespace weft::test
