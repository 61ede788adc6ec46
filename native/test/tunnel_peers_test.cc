// Peers of a tunnel that are no engines: what they may not do, and what they are told.
#include <thread>

#include "two_nodes.h"

namespace weft::test {
namespace {

using core::CloseReason;

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
  // Where they are read no faster than may be, the answers that nobody reads are too many.
  const Buffer pings = Repeated(RawFrame(weft1::FrameType::kPing, 0, Buffer(8)), 100'001);
  bool ended = false;
  for (int i = 0; i < 20 && !ended; i++) ended = !peer.TrySend(pings);
  CHECK(ended || peer.IsReset());
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

TEST("tunnel: a peer that ends during the handshake is dialled again, a few times") {
  TwoNodes nodes;
  const Descriptor listener = Listen(LoopbackIpv4());
  nodes.client.WithEngine([&](core::Engine&) { nodes.elsewhere = LocalEndpoint(listener); });
  const auto end = [&](int times) {
    for (int i = 0; i < times; i++) {
      Descriptor ending = Accept(listener);
      Reset(ending);
    }
  };
  const Descriptor first = Connected(nodes.client.endpoint());
  end(3);
  RawPeer peer(nodes, listener);
  peer.Send(Joined({RawHello(), RawFrame(weft1::FrameType::kData, 1, Text("here"))}));
  CHECK_EQUAL(Receive(first, 4), "here");
  nodes.client.WithEngine([&](core::Engine&) { nodes.workload = 2; });
  const Descriptor second = Connected(nodes.client.endpoint());
  end(4);
  CHECK_EQUAL(ReadError(second), ECONNRESET);
  CHECK(nodes.client.EndedAt(0).outcome.reason == CloseReason::kConnectFailed);
}

TEST("tunnel: a peer whose certificate has expired is asked to leave, and refused 5 s later; what is open goes on") {
  TwoNodes nodes;
  RawPeer peer(nodes, 2);
  const Endpoint there = nodes.server.endpoint();
  peer.Send(Joined({RawHello(), OpenTo(1, there)}));
  const Descriptor first = Accept(nodes.server.app);
  std::this_thread::sleep_for(std::chrono::milliseconds(3100));
  peer.Send(OpenTo(2, there));  // a client that has resumed an older session learns it only by the answer
  const Descriptor second = Accept(nodes.server.app);
  const Buffer farewell = RawFrame(weft1::FrameType::kGoAway, 0, Numbers({2}));
  CHECK(peer.Receive(farewell.size()) == farewell);
  std::this_thread::sleep_for(std::chrono::milliseconds(5100));
  peer.Send(OpenTo(3, there));
  const Buffer refusal =
      RawFrame(weft1::FrameType::kReset, 3, Numbers({static_cast<uint32_t>(weft1::ErrorCode::kRefused)}));
  CHECK(peer.Receive(farewell.size() + refusal.size()) == Joined({farewell, refusal}));
  peer.Send(RawFrame(weft1::FrameType::kData, 1, Text("still")));
  CHECK_EQUAL(Receive(first, 5), "still");
}

TEST("tunnel: peers are asked to open streams elsewhere by an engine that leaves, and when credentials are others") {
  TwoNodes nodes;
  const Endpoint there = nodes.server.endpoint();
  const auto farewell = [](uint32_t last) { return RawFrame(weft1::FrameType::kGoAway, 0, Numbers({last})); };
  RawPeer verified(nodes);
  verified.Send(Joined({RawHello(), OpenTo(1, there)}));
  const Descriptor first = Accept(nodes.server.app);
  nodes.server.WithEngine(
      [&](core::Engine& engine) { engine.SetCredentials(nodes.own_number, nodes.authority.Issue(kServerName)); });
  CHECK(verified.Receive(farewell(1).size()) == farewell(1));
  RawPeer served(nodes);
  served.Send(RawHello());
  CHECK(served.Receive(0).empty());
  nodes.server.broker->Drain(1000);
  CHECK(served.Receive(farewell(0).size()) == farewell(UINT32_MAX));  // which refuses nothing that is on its way
  RawPeer late(nodes);
  late.Send(RawHello());
  CHECK(late.Receive(0).empty());
  nodes.server.WithEngine([](core::Engine& engine) { engine.StopAccepting(); });
  CHECK(late.Receive(farewell(0).size()) == farewell(UINT32_MAX));
  verified.Send(OpenTo(2, there));  // which it may have done before it heard
  const Descriptor second = Accept(nodes.server.app);
}

TEST("tunnel: handshakes that are begun and not finished make room for others, the oldest first") {
  constexpr uint32_t kMore = 10;
  TwoNodes nodes;
  const auto before = nodes.Pair();
  CheckPasses(before);
  core::tls::Buffers buffers;
  const core::tls::Protocols protocols{"weft/1"};
  const auto context = MakeContext(nodes.authority.Issue(kClientName));
  std::vector<Descriptor> sockets;
  for (uint32_t i = 0; i < kMostHandshakes + kMore; i++) {
    sockets.push_back(Connected(nodes.server.endpoint()));
    const auto tls = core::tls::Connection::Connect(context, buffers, sockets.back().get(), protocols, kServerName);
    SetNonBlocking(sockets.back(), true);
    CHECK(tls->Handshake() == core::tls::Status::kWantsRead);  // which sends no more than the ClientHello
    EVENTUALLY(nodes.server.statistics().accepted == i + 3);
  }
  for (uint32_t i = 0; i < kMore; i++) {
    const Ended ended = nodes.server.EndedAt(i + 1);  // the first one became the tunnel
    CHECK(ended.outcome.reason == CloseReason::kConnectTimeout);
    CHECK_EQUAL(ended.identity.remote_port, uint32_t{LocalEndpoint(sockets[i]).port});
  }
  CHECK_EQUAL(nodes.server.statistics().connections, kMostHandshakes + 1);
  CheckPasses(before);
  nodes.workload = 2;
  CheckPasses(nodes.Pair());
}

}  // namespace
}  // namespace weft::test
