// Two engines that speak to each other, as those of two nodes, and peers of one of them that are no engines.
#pragma once

#include <cerrno>
#include <functional>
#include <optional>
#include <utility>

#include "authority.h"
#include "mesh.h"
#include "tls_pair.h"
#include "weft1_peers.h"

namespace weft::test {

inline const std::string kClientName = "web.shop.serviceaccount.identity.weft-system.cluster.local";
inline const std::string kServerName = "db.shop.serviceaccount.identity.weft-system.cluster.local";

constexpr uint32_t kMostHandshakes = 40;
constexpr uint32_t kPeerTimeoutMs = 1500;

struct TwoNodes {
  // With decisions on requests HTTP ends on both nodes, where it is detected.
  explicit TwoNodes(uint32_t tunnel_idle_ms = 20'000, core::http::HttpDecisions* client_http = nullptr,
                    core::http::HttpDecisions* server_http = nullptr, uint32_t max_age_ms = 30'000)
      : client_requests(client_http),
        server_requests(server_http),
        client(ClientOptions(tunnel_idle_ms, max_age_ms)),
        server(ServerOptions(tunnel_idle_ms)) {
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

  MeshOptions ClientOptions(uint32_t tunnel_idle_ms, uint32_t max_age_ms) {
    MeshOptions options;
    options.tunnel_idle_ms = tunnel_idle_ms;
    options.max_age_ms = max_age_ms;
    options.peer_timeout_ms = kPeerTimeoutMs;
    options.http = client_requests;
    options.decide = [this](core::ConnectionRecord& record) {
      if (client_requests != nullptr && DecidesOnHttp(record)) return;
      const Endpoint peer = elsewhere.value_or(server.endpoint());
      record.decision = {};
      record.decision.action = core::Action::kTunnel;
      record.decision.connect_timeout_ms = 5000;
      record.decision.destination_address = peer.address;
      record.decision.destination_port = peer.port;
      record.decision.credentials = client_number;
      record.decision.expected_name = expected_number != 0 ? expected_number : server_number;
      record.decision.workload = workload;
      if (!holds) return;
      holds(record);
      record.decision.action = core::Action::kHold;
    };
    return options;
  }

  MeshOptions ServerOptions(uint32_t tunnel_idle_ms) {
    MeshOptions options;
    options.most_handshakes = kMostHandshakes;
    options.http = server_requests;
    options.tunnel_idle_ms = tunnel_idle_ms;
    options.decide = [this](core::ConnectionRecord& record) {
      if (record.identity.origin != core::Origin::kCaptured) {
        origins.push_back(record.identity);
        if (server_requests != nullptr && DecidesOnHttp(record)) return;
        if (refuses) record.decision.action = core::Action::kRefuse;
        return;
      }
      record.decision = {};
      if (record.identity.detected == core::Detected::kNothing) {
        record.decision.action = core::Action::kDetect;
        record.decision.detect_timeout_ms = 5000;
      } else if (record.identity.detected == core::Detected::kTls && record.identity.server_name == own_number) {
        record.decision.action = core::Action::kAcceptTls;
        record.decision.credentials = own_number;
      }
    };
    return options;
  }

  bool DecidesOnHttp(core::ConnectionRecord& record) const {
    core::Detected detected = record.identity.detected;
    // A stream shows what was detected of its tunnel until it is looked at.
    if (record.identity.origin != core::Origin::kCaptured && detected == core::Detected::kTls) {
      detected = core::Detected::kNothing;
    }
    if (believes && detected == core::Detected::kNothing) detected = record.identity.claimed;
    if (detected != core::Detected::kNothing && detected != core::Detected::kHttp1) return false;
    record.decision = {};
    record.decision.action = detected == core::Detected::kNothing ? core::Action::kDetect : core::Action::kHttp;
    record.decision.detect_timeout_ms = 2000;
    return true;
  }

  std::pair<Descriptor, Descriptor> Pair() {
    Descriptor dialled = Connected(client.endpoint());
    return {std::move(dialled), Accept(server.app)};
  }

  core::http::HttpDecisions* const client_requests;
  core::http::HttpDecisions* const server_requests;
  Authority authority{"anchor"};
  uint32_t client_number = 0, server_number = 0, expected_number = 0, own_number = 0, workload = 1;
  bool refuses = false;
  bool believes = false;                               // what a stream's peer says that it carries
  std::function<void(core::ConnectionRecord&)> holds;  // is shown what is decided on later
  std::optional<Endpoint> elsewhere;                   // whom the client's node takes for the server
  std::vector<core::Identity> origins;                 // of streams, as the server's decisions saw them
  Mesh client, server;
};

inline void CheckPasses(const std::pair<Descriptor, Descriptor>& pair) {
  Send(pair.first, "ping");
  CHECK_EQUAL(Receive(pair.second, 4), "ping");
  Send(pair.second, "pong");
  CHECK_EQUAL(Receive(pair.first, 4), "pong");
}

// A peer that speaks weft/1 as it likes.
class RawPeer {
 public:
  explicit RawPeer(TwoNodes& nodes, int64_t certificate_ends_in = 3600)
      : socket_(Connected(nodes.server.endpoint())),
        tls_(core::tls::Connection::Connect(
            MakeContext(nodes.authority.Issue(LeafOptions{.names = {kClientName}, .not_after = certificate_ends_in})),
            buffers_, socket_.get(), protocols_, kServerName)) {
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

inline Buffer OpenTo(uint32_t id, const Endpoint& destination,
                     weft1::Protocol protocol = weft1::Protocol::kUndetermined) {
  Buffer payload(weft1::kOpenBytes);
  weft1::WriteOpen(payload.data(), {LoopbackIpv4(), destination, protocol});
  return RawFrame(weft1::FrameType::kOpen, id, payload);
}

}  // namespace weft::test
