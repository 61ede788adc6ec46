// HTTP that ends on two nodes, with a tunnel between them.
#include "http2_sockets.h"
#include "http_mesh.h"
#include "two_nodes.h"

namespace weft::test {
namespace {

const std::string kGet = "GET /a HTTP/1.1\r\nHost: w\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

struct HttpNodes {
  explicit HttpNodes(uint32_t max_age_ms = 30'000) : nodes(20'000, &client, &server, max_age_ms) {
    nodes.client.WithEngine([&](core::Engine& engine) { client.engine = &engine; });
    nodes.server.WithEngine([&](core::Engine& engine) { server.engine = &engine; });
    server.Forward(nodes.server.app_endpoint());
    const Endpoint peer = nodes.server.endpoint();
    RequestDecision decision{};
    decision.action = RequestAction::kForward;
    decision.via = core::Action::kTunnel;
    decision.connect_timeout_ms = 5000;
    decision.destination_address = peer.address;
    decision.destination_port = peer.port;
    decision.credentials = nodes.client_number;
    decision.expected_name = nodes.server_number;
    decision.workload = 1;
    client.Forward(decision);
  }
  Descriptor Client() { return Connected(nodes.client.endpoint()); }
  Descriptor App() { return Accept(nodes.server.app); }

  RequestDecider client, server;
  TwoNodes nodes;
};

TEST("http tunnel: requests pass over one stream, and the server knows who and from where") {
  HttpNodes http;
  const Descriptor client = http.Client();
  Descriptor app;
  for (int i = 0; i < 5; i++) {
    Send(client, kGet);
    if (!app) app = http.App();
    CHECK_EQUAL(ReceiveHead(app), kGet);
    Send(app, kOk);
    CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  }
  const RequestRecord asked = http.server.AskedAt(4);
  std::string peer;
  std::vector<core::Identity> origins;
  http.nodes.server.WithEngine([&](core::Engine& engine) {
    peer = engine.NameOf(asked.identity.peer_name);
    origins = http.nodes.origins;
  });
  CHECK_EQUAL(peer, kClientName);
  CHECK_EQUAL(origins.size(), 2u);
  CHECK(origins[1].detected == core::Detected::kHttp1);
  CHECK_EQUAL(origins[1].remote_port, uint32_t{LocalEndpoint(client).port});
  CHECK(http.client.EndedAt(4).outcome.ending == Ending::kComplete);
  CHECK(http.server.EndedAt(4).outcome.ending == Ending::kComplete);
}

TEST("http tunnel: a stream is what its peer says, and nothing is looked at again") {
  HttpNodes http;
  http.nodes.server.WithEngine([&](core::Engine&) { http.nodes.believes = true; });
  const Descriptor client = http.Client();
  Send(client, kGet);
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), kGet);
  Send(app, kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  const Descriptor other = http.Client();
  Send(other, "hello\r\n");
  const Descriptor other_app = http.App();
  CHECK_EQUAL(Receive(other_app, 7), "hello\r\n");
  std::vector<core::Detected> claims;
  http.nodes.server.WithEngine([&](core::Engine&) {
    for (const core::Identity& origin : http.nodes.origins) claims.push_back(origin.claimed);
  });
  CHECK(claims == std::vector({core::Detected::kHttp1, core::Detected::kPlaintext}));
}

TEST("http tunnel: who says HTTP and speaks none is refused") {
  HttpNodes http;
  http.nodes.server.WithEngine([&](core::Engine&) { http.nodes.believes = true; });
  RawPeer peer(http.nodes);
  peer.Send(Joined({RawHello(), OpenTo(1, http.nodes.server.endpoint(), weft1::Protocol::kHttp1),
                    RawFrame(weft1::FrameType::kData, 1, Text("SSH-2.0-x\r\n\r\n"))}));
  EVENTUALLY(http.server.ended() == 1);
  CHECK(http.server.EndedAt(0).outcome.ending == Ending::kInvalidRequest);
}

TEST("http tunnel: what is no HTTP passes as it is") {
  HttpNodes http;
  const Descriptor client = http.Client();
  Send(client, "hel");
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Send(client, "lo\r\n");
  const Descriptor app = http.App();
  CHECK_EQUAL(Receive(app, 7), "hello\r\n");
  Send(app, "welcome");
  CHECK_EQUAL(Receive(client, 7), "welcome");
  Finish(client);
  CHECK_EQUAL(ReceiveAll(app), "");
}

TEST("http tunnel: a client that says nothing reaches its server after the time") {
  HttpNodes http;
  const Descriptor client = http.Client();
  const Descriptor app = http.App();
  Send(app, "220 mail\r\n");
  CHECK_EQUAL(Receive(client, 10), "220 mail\r\n");
}

TEST("http tunnel: large bodies pass both ways") {
  HttpNodes http;
  const std::string bytes = Pattern(16u << 20, 3);
  const Descriptor client = http.Client();
  std::thread sender([&] {
    Send(client, "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: " + std::to_string(bytes.size()) + "\r\n\r\n" + bytes);
  });
  const Descriptor app = http.App();
  ReceiveHead(app);
  const bool same = Receive(app, bytes.size()) == bytes;
  sender.join();
  CHECK(same);
  std::thread responder(
      [&] { Send(app, "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(bytes.size()) + "\r\n\r\n" + bytes); });
  ReceiveHead(client);
  const bool same_back = Receive(client, bytes.size()) == bytes;
  responder.join();
  CHECK(same_back);
}

TEST("http tunnel: an upgrade passes, and ends from either side") {
  HttpNodes http;
  const Descriptor client = http.Client();
  Send(client, "GET / HTTP/1.1\r\nHost: w\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  ReceiveHead(client);
  CheckPasses({Descriptor(dup(client.get())), Descriptor(dup(app.get()))});
  Finish(app);
  CHECK_EQUAL(ReceiveAll(client), "");
  Send(client, "bye");
  Finish(client);
  CHECK_EQUAL(ReceiveAll(app), "bye");
  CHECK(http.client.EndedAt(0).outcome.ending == Ending::kComplete);
  CHECK(http.server.EndedAt(0).outcome.ending == Ending::kComplete);
}

TEST("http tunnel: who resets takes the other side along") {
  HttpNodes http;
  Descriptor client = http.Client();
  Send(client, kGet);
  Descriptor app = http.App();
  ReceiveHead(app);
  Reset(client);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CHECK(http.server.EndedAt(0).outcome.ending == Ending::kClientReset);
  client = http.Client();
  Send(client, kGet);
  app = http.App();
  ReceiveHead(app);
  Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
  ReceiveUntil(client, "half");
  Reset(app);
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK(http.client.EndedAt(1).outcome.ending == Ending::kUpstreamReset);
}

TEST("http tunnel: no request begins on a tunnel that is too old, however young its stream is") {
  constexpr uint32_t kMaxAgeMs = 2000;
  HttpNodes http(kMaxAgeMs);
  http.client.OnEachRequest([&](RequestRecord& record) {
    if (http.client.engine->http().RequestPath() == "/2") record.decision.upstream_protocol = 20;
  });
  const Descriptor keeper = http.Client(), one = http.Client(), two = http.Client();
  const std::string get_two = "GET /2 HTTP/1.1\r\nHost: w\r\n\r\n";
  Send(keeper, kGet);
  const Descriptor kept = http.App();
  ReceiveHead(kept);
  std::this_thread::sleep_for(std::chrono::milliseconds(kMaxAgeMs / 2));
  std::vector<Descriptor> apps;
  for (int round = 0; round < 2; round++) {
    Send(one, kGet);
    Descriptor served = http.App();
    CHECK_EQUAL(ReceiveHead(served), kGet);
    Send(served, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    served.Reset();  // so that the server's node cannot use it again
    CHECK_EQUAL(Receive(one, kOk.size()), kOk);
    Send(two, get_two);
    http2::ServerPeer app(http.App());
    http2::AnswerAll(app);
    std::string answer;
    http2::RunUntil(
        [&] {
          char bytes[1024];
          const ssize_t size = recv(two.get(), bytes, sizeof bytes, MSG_DONTWAIT);
          if (size > 0) answer.append(bytes, static_cast<size_t>(size));
          return answer.ends_with("0\r\n\r\n");
        },
        app);
    CHECK(answer.starts_with("HTTP/1.1 200"));
    apps.push_back(std::move(app.socket));
    std::this_thread::sleep_for(std::chrono::milliseconds(kMaxAgeMs / 2));
  }
  Send(kept, kOk);
  CHECK_EQUAL(Receive(keeper, kOk.size()), kOk);
  std::vector<uint32_t> tunnels;
  http.nodes.server.WithEngine([&](core::Engine&) {
    for (const core::Identity& stream : http.nodes.origins) tunnels.push_back(stream.tunnel);
  });
  std::sort(tunnels.begin(), tunnels.end());
  CHECK(std::unique(tunnels.begin(), tunnels.end()) - tunnels.begin() == 2);
}

TEST("http tunnel: a server that leaves answers what is under way, and what follows comes by another tunnel") {
  HttpNodes http;
  const Descriptor resting = http.Client(), asking = http.Client();
  for (const Descriptor* const client : {&resting, &asking}) Send(*client, kGet);
  const Descriptor first = http.App(), second = http.App();
  for (const Descriptor* const app : {&first, &second}) {
    ReceiveHead(*app);
    Send(*app, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  }
  for (const Descriptor* const client : {&resting, &asking}) CHECK_EQUAL(Receive(*client, kOk.size()), kOk);
  Send(asking, kGet);
  Descriptor app = http.App();
  ReceiveHead(app);
  http.nodes.server.broker->Drain(10'000);
  EVENTUALLY(http.nodes.server.statistics().connections == 1);
  Send(app, kOk);
  CHECK_EQUAL(Receive(asking, kOk.size()), kOk);
  EVENTUALLY(http.nodes.server.statistics().connections == 0);
  EVENTUALLY(http.nodes.server.statistics().tunnels == 0);
  Send(resting, kGet);
  app = http.App();
  ReceiveHead(app);
  Send(app, kOk);
  CHECK_EQUAL(Receive(resting, kOk.size()), kOk);
}

// A peer that is no agent: one connection of mutual TLS that HTTP is spoken on.
class TlsClient {
 public:
  explicit TlsClient(HttpNodes& http)
      : socket_(Connected(http.nodes.server.endpoint())),
        tls_(core::tls::Connection::Connect(MakeContext(http.nodes.authority.Issue(kClientName)), buffers_,
                                            socket_.get(), protocols_, kServerName)) {
    SetNonBlocking(socket_, true);
    EVENTUALLY(tls_->Handshake() == core::tls::Status::kDone);
  }
  void Send(std::string_view text) {
    for (std::span<const std::byte> rest = std::as_bytes(std::span(text)); !rest.empty();) {
      rest = rest.subspan(tls_->Write(std::span(&rest, 1)).bytes);
      EVENTUALLY(tls_->Flush() != core::tls::Status::kWantsWrite);
    }
  }
  std::string Receive(size_t size) {
    std::byte room[4096];
    EVENTUALLY([&] {
      const core::tls::Moved moved = tls_->Read(std::span(room).first(std::min(sizeof room, size - received_.size())));
      received_.append(reinterpret_cast<const char*>(room), moved.bytes);
      return received_.size() >= size || moved.status == core::tls::Status::kFailed;
    }());
    return std::exchange(received_, {});
  }

 private:
  core::tls::Buffers buffers_;
  const core::tls::Protocols protocols_{"http/1.1"};
  const Descriptor socket_;
  const std::unique_ptr<core::tls::Connection> tls_;
  std::string received_;
};

TEST("http tunnel: HTTP of a peer that is no agent ends here, too") {
  HttpNodes http;
  TlsClient client(http);
  client.Send(kGet);
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), kGet);
  Send(app, kOk);
  CHECK_EQUAL(client.Receive(kOk.size()), kOk);
  std::string peer;
  const uint32_t number = http.server.AskedAt(0).identity.peer_name;
  http.nodes.server.WithEngine([&](core::Engine& engine) { peer = engine.NameOf(number); });
  CHECK_EQUAL(peer, kClientName);
  // Answers are written while more requests lie in the buffer that they came by.
  http.server.OnEachRequest([&](RequestRecord& record) {
    record.decision.action = RequestAction::kRespond;
    record.decision.response = http.server.Response(*http.server.engine, 403);
  });
  std::string requests;
  for (int i = 0; i < 50; i++) requests += kGet;
  client.Send(requests);
  const std::string head = client.Receive(12);
  CHECK_EQUAL(head, "HTTP/1.1 403");
  CHECK(http.server.EndedAt(50).outcome.ending == Ending::kSynthetic);
}

TEST("http tunnel: without a tunnel requests are answered, and with one again served") {
  HttpNodes http;
  RequestDecision decision = http.client.forward();
  RequestDecision wrong = decision;
  wrong.destination_port = 1;
  http.client.Forward(wrong);
  const Descriptor client = http.Client();
  Send(client, kGet);
  CHECK(ReceiveHead(client).starts_with("HTTP/1.1 502 "));
  CHECK(http.client.EndedAt(0).outcome.ending == Ending::kConnectFailed);
  wrong = decision;
  wrong.credentials = 999;
  http.client.Forward(wrong);
  Send(client, kGet);
  CHECK(ReceiveHead(client).starts_with("HTTP/1.1 502 "));
  http.client.Forward(decision);
  Send(client, kGet);
  const Descriptor app = http.App();
  ReceiveHead(app);
  http.nodes.client.WithEngine([](core::Engine& engine) { engine.CloseTunnels(); });
  CHECK(ReceiveHead(client).starts_with("HTTP/1.1 502 "));
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  Send(client, kGet);
  const Descriptor again = http.App();
  CHECK_EQUAL(ReceiveHead(again), kGet);
}

}  // namespace
}  // namespace weft::test
