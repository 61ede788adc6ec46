// Two ends of HTTP/2 over sockets, on the thread of the test, and a mesh of one node between them.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>

#include "http2_peers.h"
#include "http_mesh.h"

namespace weft::test::http2 {

template <typename Side>
struct SocketPeer {
  explicit SocketPeer(Descriptor connected, const Limits& limits = {})
      : socket(std::move(connected)), session(limits, events) {
    events.session = &session;
  }

  // What can be done now.
  bool Step() {
    bool any = false;
    while (pending.empty()) {
      std::string bytes(16384, '\0');
      bytes.resize(session.Output(std::as_writable_bytes(std::span(bytes))));
      if (bytes.empty()) break;
      pending = std::move(bytes);
      any = Put() || any;
    }
    any = Put() || any;
    char buffer[16384];
    const ssize_t got = reads ? recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT) : -1;
    if (got == 0) ended = true;
    if (got < 0 && reads && errno != EAGAIN) ended = reset = true;
    if (got <= 0) return any;
    session.Receive(Bytes(std::string_view(buffer, static_cast<size_t>(got))), 1);
    return true;
  }
  bool Put() {
    const ssize_t put = send(socket.get(), pending.data(), pending.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (put <= 0) return false;
    pending.erase(0, static_cast<size_t>(put));
    return true;
  }

  Descriptor socket;
  Recorder events;
  Side session;
  std::string pending;
  bool reads = true;
  bool ended = false;
  bool reset = false;
};
using ClientPeer = SocketPeer<ClientSession>;
using ServerPeer = SocketPeer<ServerSession>;

// Until it is so.
template <typename Condition, typename... Peer>
void RunUntil(Condition condition, Peer&... peers) {
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    CHECK(std::chrono::steady_clock::now() < end);
    const bool any = (static_cast<int>(peers.Step()) + ... + 0) != 0;
    if (!any) std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

// Everything is answered at once, with what was asked.
inline void AnswerAll(ServerPeer& app) {
  app.events.on_end = [&app](Stream& stream) {
    app.session.Respond(stream, Response(200, false));
    app.session.Write(stream, Bytes(app.events.bodies[stream.id()]));
    app.session.Finish(stream);
  };
}

inline MeshOptions Detecting() {
  MeshOptions options;
  options.decide = [](core::ConnectionRecord& record) {
    record.decision = EndHttp();
    if (record.identity.detected != core::Detected::kNothing) return;
    record.decision.action = core::Action::kDetect;
    record.decision.detect_timeout_ms = 5000;
  };
  return options;
}

struct Http2Mesh : HttpMesh {
  Http2Mesh() : HttpMesh(Detecting()) {}
  // Whatever the client speaks.
  void UseUpstream(uint32_t protocol) {
    RequestDecision decision = decider.forward();
    decision.upstream_protocol = protocol;
    decider.Forward(decision);
  }
  uint32_t Connections() { return mesh.statistics().connections; }
};

inline void CheckEnded(HttpMesh& http, size_t index, Ending ending, uint32_t status) {
  const RequestRecord record = http.decider.EndedAt(index);
  CHECK_EQUAL(static_cast<uint32_t>(record.outcome.ending), static_cast<uint32_t>(ending));
  CHECK_EQUAL(record.outcome.status, status);
}

inline Head Post(std::string_view path) { return Request("POST", path, false); }

inline Head Grpc(bool ends = false) {
  Head head = Request("POST", "/weft.Test/Call", ends);
  head.Add("content-type", "application/grpc");
  head.Add("te", "trailers");
  return head;
}

}  // namespace weft::test::http2
