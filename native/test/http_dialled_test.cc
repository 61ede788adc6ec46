// Requests that go where their client has dialled itself.
#include <set>

#include "http2_sockets.h"

namespace weft::test {
namespace {

const std::string kGet = "GET /a HTTP/1.1\r\nHost: w\r\n\r\n";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

// Each request passes twice: out to where the client has dialled, which is captured again, and from there to the app.
struct Twice : HttpMesh {
  explicit Twice(uint32_t protocol) : HttpMesh(http2::Detecting()) {
    const Endpoint dialled = mesh.endpoint();
    decider.OnEachRequest([this, dialled, protocol](RequestRecord& record) {
      if (passes++ % 2 == 0) {
        record.decision.via = core::Action::kRelayOut;
        record.decision.destination_address = dialled.address;
        record.decision.destination_port = dialled.port;
        record.decision.upstream_protocol = protocol;
      } else {
        arrived.push_back(record.identity.connection);
        record.decision.upstream_protocol = 11;
      }
    });
  }
  void Ask(const Descriptor& client) {
    Send(client, kGet);
    if (!app) app = App();
    ReceiveHead(app);
    Send(app, kOk);
    const std::string head = ReceiveHead(client);
    CHECK(head.starts_with("HTTP/1.1 200 "));
    CHECK_EQUAL(Receive(client, 2), "ok");
  }

  size_t passes = 0;
  std::vector<uint32_t> arrived;  // by which connection
  Descriptor app;
};

TEST("http: what goes where the client has dialled has connections of that client alone, which end with it") {
  for (const uint32_t protocol : {11u, 20u}) {
    Twice http(protocol);
    Descriptor one = http.Client(), two = http.Client();
    for (int i = 0; i < 2; i++) {
      http.Ask(one);
      http.Ask(two);
    }
    CHECK_EQUAL(http.arrived.size(), 4u);
    CHECK(http.arrived[0] == http.arrived[2] && http.arrived[1] == http.arrived[3]);
    CHECK(http.arrived[0] != http.arrived[1]);
    CHECK_EQUAL(http.mesh.statistics().connections, 4u);
    one.Reset();
    EVENTUALLY(http.mesh.statistics().connections == 2);
    http.Ask(two);
    CHECK_EQUAL(http.arrived[4], http.arrived[1]);
    two.Reset();
    EVENTUALLY(http.mesh.statistics().connections == 0);
  }
}

TEST("http: what goes out to elsewhere is shared by the pod's clients") {
  HttpMesh http;
  RequestDecision decision = http.decider.forward();
  decision.via = core::Action::kRelayOut;
  http.decider.Forward(decision);
  const Descriptor one = http.Client(), two = http.Client();
  Descriptor app;
  for (const Descriptor* client : {&one, &two, &one}) {
    Send(*client, kGet);
    if (!app) app = http.App();
    CHECK_EQUAL(ReceiveHead(app), kGet);
    Send(app, kOk);
    CHECK_EQUAL(Receive(*client, kOk.size()), kOk);
  }
  CHECK(IsUnvisited(http.mesh.app));
}

}  // namespace
}  // namespace weft::test
