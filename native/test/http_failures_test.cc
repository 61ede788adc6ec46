// What fails: malformed messages, ends before the end, timeouts; and responses that are our own.
#include "http_mesh.h"

namespace weft::test {
namespace {

const std::string kGet = "GET / HTTP/1.1\r\nHost: w\r\n\r\n";
const std::string kPost = "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 4\r\n\r\nbody";
const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

void CheckEnded(HttpMesh& http, size_t index, Ending ending, uint32_t status) {
  const RequestRecord record = http.decider.EndedAt(index);
  CHECK_EQUAL(static_cast<uint32_t>(record.outcome.ending), static_cast<uint32_t>(ending));
  CHECK_EQUAL(record.outcome.status, status);
}

void CheckAnswered(const Descriptor& client, uint32_t status, bool closes) {
  const std::string head = ReceiveHead(client);
  CHECK(head.starts_with("HTTP/1.1 " + std::to_string(status) + " "));
  CHECK(head.find("l5d-proxy-error: status " + std::to_string(status) + "\r\n") != std::string::npos);
  CHECK_EQUAL(head.find("connection: close\r\n") != std::string::npos, closes);
}

TEST("http: no request that can be read in two ways reaches the app, each is answered and the connection ends") {
  const std::pair<const char*, uint32_t> kRequests[] = {
      {"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nbody!", 400},
      {"POST / HTTP/1.1\r\nHost: w\r\nContent-Length: +4\r\n\r\nbody", 400},
      {"POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: xchunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding : chunked\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\n\r\n0\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: w\r\nHost: v\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nX: y\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: w\r\n folded\r\n\r\n", 400},
      {"GET /\r\n\r\n", 400},
      {"GET / HTTP/1.1\r\nHost: w\r\nConnection: content-length\r\n\r\n", 400},
  };
  HttpMesh http;
  size_t index = 0;
  for (const auto& [request, status] : kRequests) {
    const Descriptor client = http.Client();
    Send(client, request);
    Send(client, kGet);  // smuggled
    CheckAnswered(client, status, true);
    CHECK_EQUAL(ReceiveAll(client), "");
    CheckEnded(http, index++, Ending::kInvalidRequest, status);
  }
  CHECK_EQUAL(http.decider.asked(), 0u);
  CHECK_EQUAL(http.decider.ended(), index);
  CHECK(IsUnvisited(http.mesh.app));
}

// Or the RST that answers it could overtake the response (RFC 9112, 9.6).
TEST("http: what a client goes on to say after its connection has been ended is taken") {
  for (const std::string request :
       {"GET / HTTP/1.1\r\nHost: w\r\nHost: v\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n123456789"}) {
    HttpMesh http;
    const Descriptor client = http.Client();
    Send(client, request);
    CHECK(!ReceiveAll(client).empty());
    for (int i = 0; i < 5; i++) {
      Send(client, "more");
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    CHECK_EQUAL(http.mesh.ended_count(), 0u);
    Finish(client);
    EVENTUALLY(http.mesh.ended_count() == 1);
  }
}

TEST("http: a head without end is answered with 431, and costs what its bound says") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, "GET / HTTP/1.1\r\nHost: w\r\n");
  Send(client, "X: " + std::string(70 * 1024, 'x'));
  CheckAnswered(client, 431, true);
}

TEST("http: a body that turns out malformed is not completed") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, "POST / HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n");
  const Descriptor app = http.App();
  ReceiveHead(app);
  CHECK_EQUAL(Receive(app, 9), "4\r\nbody\r\n");
  Send(client, "0x5\r\nsmuggle\r\n\r\n");
  CheckAnswered(client, 400, true);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnded(http, 0, Ending::kInvalidRequest, 400);
}

TEST("http: a response that is malformed is answered with 502, and its connection is not used again") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kGet);
  Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n");
  CheckAnswered(client, 502, false);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnded(http, 0, Ending::kInvalidResponse, 502);
  Send(client, kGet);
  app = http.App();
  ReceiveHead(app);
}

TEST("http: a response that is cut off is never completed") {
  for (const char* head : {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"}) {
    HttpMesh http;
    const Descriptor client = http.Client();
    Send(client, kGet);
    Descriptor app = http.App();
    ReceiveHead(app);
    Send(app, head);
    ReceiveUntil(client, "half");
    app.Reset();
    CHECK_EQUAL(ReadError(client), ECONNRESET);
    CheckEnded(http, 0, Ending::kUpstreamReset, 200);
  }
}

TEST("http: an app that resets before it answers is answered for with 502") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kPost);
  Descriptor app = http.App();
  ReceiveHead(app);
  Reset(app);
  CheckAnswered(client, 502, false);
  CheckEnded(http, 0, Ending::kUpstreamReset, 502);
}

TEST("http: a client that resets takes its request along") {
  HttpMesh http;
  Descriptor client = http.Client();
  Send(client, kGet);
  const Descriptor app = http.App();
  ReceiveHead(app);
  Reset(client);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnded(http, 0, Ending::kClientReset, 0);
  CHECK(http.mesh.EndedAt(0).outcome.reason == core::CloseReason::kResetByClient);
}

TEST("http: a client that ends inside of its request takes it along") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, "POST / HTTP/1.1\r\nHost: w\r\nContent-Length: 10\r\n\r\nhalf");
  const Descriptor app = http.App();
  ReceiveUntil(app, "half");
  Finish(client);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnded(http, 0, Ending::kClientReset, 0);
}

TEST("http: a client that has sent its request and finished gets its response") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kGet);
  Finish(client);
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), kGet);
  Send(app, kOk);
  CHECK_EQUAL(ReceiveAll(client), kOk);
  CHECK(http.mesh.EndedAt(0).outcome.reason == core::CloseReason::kFinished);
}

TEST("http: a pooled connection that the app closes as a request is sent is replaced, for what may be sent twice") {
  for (const bool idempotent : {true, false}) {
    HttpMesh http;
    const Descriptor client = http.Client();
    Send(client, kGet);
    Descriptor app = http.App();
    ReceiveHead(app);
    Send(app, kOk);
    Receive(client, kOk.size());
    Send(client, idempotent ? kGet : kPost);
    ReceiveHead(app);
    app.Reset();
    if (!idempotent) {
      CheckAnswered(client, 502, false);
      CHECK(IsUnvisited(http.mesh.app));
      continue;
    }
    const Descriptor fresh = http.App();
    CHECK_EQUAL(ReceiveHead(fresh), kGet);
    Send(fresh, kOk);
    CHECK_EQUAL(Receive(client, kOk.size()), kOk);
    CHECK_EQUAL(http.decider.EndedAt(1).identity.attempt, 2u);
  }
}

TEST("http: a pooled connection that the app has closed is not used") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kGet);
  Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, kOk);
  Receive(client, kOk.size());
  app.Reset();
  Send(client, kPost);
  const Descriptor fresh = http.App();
  ReceiveUntil(fresh, "body");
  Send(fresh, kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
}

TEST("http: an app that says what it was not asked for is not spoken to again") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kGet);
  const Descriptor app = http.App();
  ReceiveHead(app);
  Send(app, kOk + kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  Send(client, kGet);
  const Descriptor fresh = http.App();
  ReceiveHead(fresh);
  Send(fresh, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
  ReceiveHead(client);
  CHECK_EQUAL(Receive(client, 2), "no");
}

TEST("http: nobody listens") {
  HttpMesh http;
  http.mesh.app.Reset();
  const Descriptor client = http.Client();
  Send(client, kGet + kGet);
  CheckAnswered(client, 502, false);
  CheckAnswered(client, 502, false);
  CheckEnded(http, 0, Ending::kConnectFailed, 502);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.detail, uint32_t{ECONNREFUSED});
}

TEST("http: a failure may be answered with another place") {
  HttpMesh http;
  const Descriptor other = Listen(LoopbackIpv4());
  const Endpoint place = LocalEndpoint(other);
  const RequestDecision forward = http.decider.forward();
  std::string asked;
  http.decider.OnEachFailure([&, forward](RequestRecord& record) {
    core::http::Http& engine = http.decider.engine->http();
    asked = std::string(engine.RequestMethod()) + " " + std::string(engine.RequestPath()) + " " +
            std::string(engine.RequestAuthority());
    record.decision = forward;
    record.decision.destination_port = place.port;
  });
  http.decider.OnEachRequest([&](RequestRecord& record) { record.decision.destination_port = 1; });
  const Descriptor client = http.Client();
  Send(client, kGet);
  const Descriptor app = Accept(other);
  CHECK_EQUAL(ReceiveHead(app), kGet);
  Send(app, kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  CHECK_EQUAL(http.decider.EndedAt(0).identity.attempt, 2u);
  CHECK_EQUAL(asked, "GET / w");
}

TEST("http: a response of our own, and what it does to the connection") {
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    core::http::SyntheticResponse response;
    response.status = 403;
    response.headers.push_back({"l5d-proxy-error", "status 403"});
    response.body = "no";
    record.decision.action = RequestAction::kRespond;
    record.decision.response = http.decider.engine->http().DefineResponse(response);
  });
  const Descriptor client = http.Client();
  Send(client, kGet + "HEAD / HTTP/1.1\r\nHost: w\r\n\r\n" + kPost + kGet);
  CheckAnswered(client, 403, false);
  CHECK_EQUAL(Receive(client, 2), "no");
  CheckAnswered(client, 403, false);
  CheckAnswered(client, 403, true);
  CHECK_EQUAL(ReceiveAll(client), "no");
  CheckEnded(http, 0, Ending::kSynthetic, 403);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.flags, uint32_t{core::http::kSyntheticResponse});
  CHECK_EQUAL(http.decider.asked(), 3u);
  CHECK(IsUnvisited(http.mesh.app));
}

TEST("http: a gRPC request is answered as gRPC") {
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    CHECK((record.identity.flags & core::http::kGrpc) != 0);
    core::http::SyntheticResponse response;
    response.status = 403;
    response.body = "no";
    response.grpc_status = 7;
    response.grpc_message = "not\nallowed";
    record.decision.action = RequestAction::kRespond;
    record.decision.response = http.decider.engine->http().DefineResponse(response);
  });
  const Descriptor client = http.Client();
  Send(client, "POST /a.B/C HTTP/1.1\r\nHost: w\r\nContent-Type: application/grpc+proto\r\nContent-Length: 0\r\n\r\n");
  const std::string head = ReceiveHead(client);
  CHECK(head.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(head.find("content-type: application/grpc\r\ngrpc-status: 7\r\ngrpc-message: not%0Aallowed\r\n") !=
        std::string::npos);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.grpc_status, 7u);
}

TEST("http: a decision to reset") {
  HttpMesh http;
  http.decider.OnEachRequest([](RequestRecord& record) { record.decision = {}; });
  const Descriptor client = http.Client();
  Send(client, kGet);
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CheckEnded(http, 0, Ending::kReset, 0);
}

TEST("http: a request that is held goes on as it was when it is resumed") {
  HttpMesh http;
  http.decider.OnEachRequest([](RequestRecord& record) {
    record.decision.action = RequestAction::kHold;
    record.decision.connect_timeout_ms = 4000;
  });
  const Descriptor client = http.Client();
  Send(client, kPost + kGet);
  const uint32_t id = http.decider.AskedAt(0).identity.exchange;
  http.mesh.WithEngine([&](core::Engine& engine) {
    CHECK(engine.http().ResumeRequest(id, http.decider.forward()));
    CHECK(!engine.http().ResumeRequest(id, http.decider.forward()));
  });
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveUntil(app, "body"), kPost);
  Send(app, kOk);
  CHECK_EQUAL(Receive(client, kOk.size()), kOk);
  // The next one waits, too.
  const uint32_t next = http.decider.AskedAt(1).identity.exchange;
  http.mesh.WithEngine([&](core::Engine& engine) { CHECK(engine.http().ResumeRequest(next, {})); });
  CHECK_EQUAL(ReadError(client), ECONNRESET);
}

TEST("http: timeouts end what waits, and say which") {
  struct Case {
    std::function<void(RequestDecision&)> set;
    Ending ending;
    bool answers;
  };
  const Case kCases[] = {
      {[](RequestDecision& decision) { decision.response_timeout_ms = 100; }, Ending::kResponseTimeout, false},
      {[](RequestDecision& decision) { decision.request_timeout_ms = 100; }, Ending::kRequestTimeout, false},
      {[](RequestDecision& decision) { decision.idle_timeout_ms = 100; }, Ending::kIdleTimeout, false},
      {[](RequestDecision& decision) {
         decision.action = RequestAction::kHold;
         decision.connect_timeout_ms = 100;
       },
       Ending::kHoldTimeout, false},
      {[](RequestDecision& decision) { decision.request_timeout_ms = 100; }, Ending::kRequestTimeout, true},
      {[](RequestDecision& decision) { decision.idle_timeout_ms = 100; }, Ending::kIdleTimeout, true},
  };
  for (const Case& each : kCases) {
    HttpMesh http;
    http.decider.OnEachRequest([&](RequestRecord& record) { each.set(record.decision); });
    const Descriptor client = http.Client();
    Send(client, kGet);
    if (each.ending == Ending::kHoldTimeout) {
      CheckAnswered(client, 504, false);
      CheckEnded(http, 0, each.ending, 504);
      continue;
    }
    const Descriptor app = http.App();
    ReceiveHead(app);
    if (each.answers) {
      Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
      ReceiveHead(client);
      CHECK_EQUAL(ReadError(client), ECONNRESET);
    } else {
      CheckAnswered(client, 504, false);
    }
    CHECK_EQUAL(ReadError(app), ECONNRESET);
    CheckEnded(http, 0, each.ending, each.answers ? 200 : 504);
  }
}

TEST("http: a connection attempt that takes too long") {
  const FullListener full;
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    record.decision.destination_port = full.endpoint().port;
    record.decision.connect_timeout_ms = 100;
  });
  const Descriptor client = http.Client();
  Send(client, kPost);
  CheckAnswered(client, 502, true);
  CheckEnded(http, 0, Ending::kConnectTimeout, 502);
}

TEST("http: what is revoked or shut down is told once and ends") {
  HttpMesh http;
  const Descriptor client = http.Client();
  http.decider.OnEachRequest([](RequestRecord& record) { record.decision.upstream_context = 5; });
  Send(client, kGet);
  const Descriptor app = http.App();
  ReceiveHead(app);
  http.mesh.WithEngine([](core::Engine& engine) {
    engine.http().RevokeRequests(4);
    engine.http().RevokeRequests(5);
  });
  CheckAnswered(client, 502, false);
  CHECK_EQUAL(ReadError(app), ECONNRESET);
  CheckEnded(http, 0, Ending::kRevoked, 502);
  Send(client, kGet);
  const Descriptor again = http.App();
  ReceiveHead(again);
  const Descriptor idle = http.Client();
  EVENTUALLY(http.mesh.statistics().connections == 2);
  http.mesh.WithEngine([](core::Engine& engine) { engine.Close(); });
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  CHECK_EQUAL(ReadError(again), ECONNRESET);
  CHECK_EQUAL(ReadError(idle), 0);
  CheckEnded(http, 1, Ending::kShutdown, 0);
  EVENTUALLY(http.mesh.ended_count() == 2);
}

TEST("http: a decision that ends its own connection") {
  HttpMesh http;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    const uint32_t connection = record.identity.connection;
    http.decider.engine->Revoke({&connection, 1});
    record.decision.action = RequestAction::kForward;
  });
  const Descriptor client = http.Client();
  Send(client, kGet + kGet);
  CHECK_EQUAL(ReadError(client), ECONNRESET);
  EVENTUALLY(http.mesh.ended_count() == 1);
  CHECK_EQUAL(http.decider.asked(), 1u);
}

TEST("http: an engine that leaves says so with the next response") {
  HttpMesh http;
  const Descriptor client = http.Client();
  Send(client, kGet);
  const Descriptor app = http.App();
  ReceiveHead(app);
  http.mesh.WithEngine([](core::Engine& engine) { engine.StopAccepting(); });
  Send(app, kOk);
  CHECK_EQUAL(ReceiveAll(client), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
  CHECK_EQUAL(ReadError(app), 0);
}

TEST("http: an engine that leaves serves whoever is connected, with new connections to the app") {
  constexpr size_t kClients = 40;  // more than it has sockets for
  HttpMesh http;
  std::vector<Descriptor> clients;
  const auto serve = [&](const Descriptor& client, std::string_view expected) {
    Send(client, kGet);
    const Descriptor app = http.App();
    ReceiveHead(app);
    Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    const std::string head = ReceiveHead(client);
    CHECK_EQUAL(head, expected);
    CHECK_EQUAL(Receive(client, 2), "ok");
  };
  for (size_t i = 0; i < kClients; i++) {
    clients.push_back(http.Client());
    serve(clients.back(), "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  }
  http.mesh.WithEngine([](core::Engine& engine) { engine.StopAccepting(); });
  for (const Descriptor& client : clients) {
    serve(client, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
  }
}

}  // namespace
}  // namespace weft::test
