// Two engines: what a client of the one says reaches the app of the other over mutual TLS.
#include <dirent.h>
#include <linux/filter.h>
#include <netinet/tcp.h>

#include <cerrno>
#include <optional>
#include <set>

#include "authority.h"
#include "mesh.h"
#include "storm.h"
#include "tls_pair.h"
#include "weft1_peers.h"

namespace weft::test {
namespace {

using core::Action;
using core::CloseReason;
using core::ConnectionRecord;
using core::Detected;
using core::Origin;

const std::string kClientName = "web.shop.serviceaccount.identity.weft-system.cluster.local";
const std::string kServerName = "db.shop.serviceaccount.identity.weft-system.cluster.local";

constexpr uint32_t kPeerTimeoutMs = 1500;

struct TwoNodes {
  explicit TwoNodes(uint32_t tunnel_idle_ms = 20'000)
      : client(ClientOptions(tunnel_idle_ms)), server(ServerOptions(tunnel_idle_ms)) {
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

  MeshOptions ClientOptions(uint32_t tunnel_idle_ms) {
    MeshOptions options;
    options.tunnel_idle_ms = tunnel_idle_ms;
    options.peer_timeout_ms = kPeerTimeoutMs;
    options.decide = [this](ConnectionRecord& record) {
      const Endpoint peer = elsewhere.value_or(server.endpoint());
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

  MeshOptions ServerOptions(uint32_t tunnel_idle_ms) {
    MeshOptions options;
    options.tunnel_idle_ms = tunnel_idle_ms;
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
  std::optional<Endpoint> elsewhere;    // whom the client's node takes for the server
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

TEST("tunnel: credentials that are forgotten are for nobody, open connections go on") {
  TwoNodes nodes;
  const auto before = nodes.Pair();
  CheckPasses(before);
  nodes.client.WithEngine([&](core::Engine& engine) { engine.ForgetCredentials(nodes.client_number); });
  const Descriptor refused = Connected(nodes.client.endpoint());
  CHECK_EQUAL(ReadError(refused), ECONNRESET);
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

// A peer that speaks weft/1 as it likes.
class RawPeer {
 public:
  explicit RawPeer(TwoNodes& nodes)
      : socket_(Connected(nodes.server.endpoint())),
        tls_(core::tls::Connection::Connect(MakeContext(nodes.authority.Issue(kClientName)), buffers_, socket_.get(),
                                            protocols_, kServerName)) {
    Shake();
  }
  // As the server.
  RawPeer(TwoNodes& nodes, const Descriptor& listener)
      : socket_(Accept(listener)),
        tls_(core::tls::Connection::Accept(MakeContext(nodes.authority.Issue(kServerName)), buffers_, socket_.get(),
                                           protocols_)) {
    Shake();
  }

  void Send(const Buffer& bytes) { CHECK(TrySend(bytes)); }
  // False: the server has ended the connection.
  bool TrySend(const Buffer& bytes) {
    core::tls::Status status = core::tls::Status::kDone;
    for (size_t sent = 0; sent < bytes.size() && status != core::tls::Status::kFailed;) {
      const Bytes rest = Bytes(bytes).subspan(sent);
      sent += tls_->Write(std::span(&rest, 1)).bytes;
      EVENTUALLY((status = tls_->Flush()) != core::tls::Status::kWantsWrite);
    }
    return status == core::tls::Status::kDone;
  }
  // Waits until so many bytes have come, after the server's HELLO.
  Buffer Receive(size_t bytes) {
    const size_t wanted = bytes + RawHello().size();
    std::byte room[4096];
    EVENTUALLY([&] {
      const core::tls::Moved moved = tls_->Read(room);
      received_.insert(received_.end(), room, room + moved.bytes);
      return received_.size() >= wanted || moved.status == core::tls::Status::kFailed;
    }());
    CHECK(received_.size() >= wanted);
    return Buffer(received_.begin() + static_cast<ptrdiff_t>(RawHello().size()), received_.end());
  }
  bool IsReset() {
    std::byte room[4096];
    return Eventually([&] { return tls_->Read(room).status == core::tls::Status::kFailed; });
  }

 private:
  void Shake() {
    SetNonBlocking(socket_, true);
    EVENTUALLY(tls_->Handshake() == core::tls::Status::kDone);
  }

  core::tls::Buffers buffers_;
  const core::tls::Protocols protocols_{"weft/1"};
  const Descriptor socket_;
  const std::unique_ptr<core::tls::Connection> tls_;
  Buffer received_;
};

Buffer OpenTo(uint32_t id, const Endpoint& destination) {
  Buffer payload(weft1::kOpenBytes);
  weft1::WriteOpen(payload.data(), {LoopbackIpv4(), destination});
  return RawFrame(weft1::FrameType::kOpen, id, payload);
}

TEST("tunnel: a stream goes where its connection went, to no other port or address") {
  TwoNodes nodes;
  RawPeer peer(nodes);
  const Endpoint there = nodes.server.endpoint();
  Endpoint other_port = there, other_address = there;
  other_port.port++;
  other_address.address.bytes[15]++;
  peer.Send(Joined({RawHello(), OpenTo(1, other_port), OpenTo(2, other_address)}));
  const Buffer refusal = Numbers({static_cast<uint32_t>(weft1::ErrorCode::kRefused)});
  CHECK(peer.Receive(24) ==
        Joined({RawFrame(weft1::FrameType::kReset, 1, refusal), RawFrame(weft1::FrameType::kReset, 2, refusal)}));
  peer.Send(OpenTo(3, there));
  const Descriptor served = Accept(nodes.server.app);
  // Two were shown as astray, to be counted, and refused although the decision was to relay them.
  nodes.server.WithEngine([&](core::Engine&) { CHECK_EQUAL(nodes.origins.size(), 3u); });
}

TEST("tunnel: streams opened and reset as fast as may be cost their peer its connection, others nothing") {
  TwoNodes nodes;
  const auto pair = nodes.Pair();
  RawPeer peer(nodes);
  Buffer bytes = RawHello();
  for (uint32_t id = 1; id <= 20'000; id++) {
    const Buffer cycle =
        Joined({OpenTo(id, nodes.server.endpoint()), RawFrame(weft1::FrameType::kReset, id, Numbers({2}))});
    bytes.insert(bytes.end(), cycle.begin(), cycle.end());
  }
  std::thread attacker([&] { peer.Send(bytes); });
  for (int i = 0; i < 20; i++) CheckPasses(pair);
  attacker.join();
  CheckPasses(pair);
  EVENTUALLY(nodes.server.statistics().connections == 1);
  CHECK(!peer.TrySend(Repeated(RawFrame(weft1::FrameType::kPong, 0, Buffer(8)), 100'001)) || peer.IsReset());
  CheckPasses(pair);
}

TEST("tunnel: a server that takes no more streams, or goes away, is asked on another connection") {
  TwoNodes nodes;
  const Descriptor listener = Listen(LoopbackIpv4());
  nodes.client.WithEngine([&](core::Engine&) { nodes.elsewhere = LocalEndpoint(listener); });
  const Descriptor first = Connected(nodes.client.endpoint());
  RawPeer full(nodes, listener);
  const Buffer code = Numbers({static_cast<uint32_t>(weft1::ErrorCode::kTooManyStreams)});
  full.Send(Joined({RawHello(), RawFrame(weft1::FrameType::kReset, 1, code)}));
  CHECK_EQUAL(ReadError(first), ECONNRESET);
  const Descriptor second = Connected(nodes.client.endpoint());
  RawPeer leaving(nodes, listener);
  leaving.Send(Joined({RawHello(), RawFrame(weft1::FrameType::kGoAway, 0, Numbers({1})),
                       RawFrame(weft1::FrameType::kData, 1, Text("still"))}));
  CHECK_EQUAL(Receive(second, 5), "still");
  const Descriptor third = Connected(nodes.client.endpoint());
  RawPeer last(nodes, listener);
  last.Send(Joined({RawHello(), RawFrame(weft1::FrameType::kData, 1, Text("here"))}));
  CHECK_EQUAL(Receive(third, 4), "here");
  // One more has room there.
  const Descriptor fourth = Connected(nodes.client.endpoint());
  CHECK_EQUAL(last.Receive(2 * RawOpen(1).size()).size(), 2 * RawOpen(1).size());
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
  const Descriptor client = Connected(nodes.client.endpoint());
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK_EQUAL(ReadError(pair.first), ECONNRESET);
}

TEST("tunnel: a storm of random connections") {
  TwoNodes nodes;
  RunStorm(nodes.client.endpoint(), nodes.server.app, storm_connections / 2);
  EVENTUALLY(nodes.client.statistics().connections == 0 && nodes.server.statistics().connections == 0);
}

}  // namespace
}  // namespace weft::test
