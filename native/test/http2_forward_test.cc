// What passes between a client and an app that speak HTTP/2.
#include "http2_sockets.h"

namespace weft::test::http2 {
namespace {

TEST("http2: a request and its response pass, and both records tell of them") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  Stream* const stream = client.session.Open(Post("/a?b=c"));
  client.session.Write(*stream, Bytes("question"));
  client.session.Finish(*stream);
  client.Step();
  ServerPeer app(http.App());
  AnswerAll(app);
  RunUntil([&] { return client.events.log.find("closed") != std::string::npos; }, client, app);
  CHECK_EQUAL(client.events.log, "1 head 200\n1 end\n1 closed\n");
  CHECK_EQUAL(client.events.bodies[1], "question");
  CHECK(app.events.log.starts_with("1 head POST http weft.test /a?b=c\n1 end\n"));
  CheckEnded(http, 0, Ending::kComplete, 200);
  const RequestRecord ended = http.decider.EndedAt(0);
  CHECK(ended.identity.version == core::http::Version::kHttp2);
  CHECK(ended.identity.method == core::http::Method::kPost);
  CHECK_EQUAL(ended.identity.flags, uint32_t{core::http::kHasBody});
  CHECK_EQUAL(ended.outcome.request_bytes, 8.0);
  CHECK_EQUAL(ended.outcome.response_bytes, 8.0);
  http.mesh.WithEngine(
      [&](core::Engine& engine) { CHECK_EQUAL(engine.NameOf(ended.identity.authority), "weft.test"); });
}

TEST("http2: what was asked can be read while a decision is asked for") {
  Http2Mesh http;
  std::string seen;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    core::http::Http& engine = http.decider.engine->http();
    std::string value;
    CHECK(engine.RequestHeader("x", value));
    seen = std::string(engine.RequestMethod()) + " " + std::string(engine.RequestPath()) + " " +
           std::string(engine.RequestAuthority()) + " " + value;
    record.decision.action = RequestAction::kRespond;
    record.decision.response = http.decider.Response(*http.decider.engine, 403);
  });
  ClientPeer client(http.Client());
  Head head = Request("GET", "/p");
  head.Add("x", "1");
  head.Add("x", "2");
  client.session.Open(head);
  RunUntil([&] { return !client.events.log.empty() && client.events.streams.empty(); }, client);
  CHECK_EQUAL(seen, "GET /p weft.test 1, 2");
  CHECK(client.events.log.starts_with("1 head 403 l5d-proxy-error=status 403 date="));
  CheckEnded(http, 0, Ending::kSynthetic, 403);
}

TEST("http2: streams of one connection share a connection to the app, and so do those of the next one") {
  Http2Mesh http;
  std::optional<ServerPeer> app;
  for (int connection = 0; connection < 2; connection++) {
    ClientPeer client(http.Client());
    for (int i = 0; i < 20; i++) client.session.Open(Request("GET", "/"));
    if (!app) {
      client.Step();
      app.emplace(http.App());
      AnswerAll(*app);
    }
    RunUntil([&] { return client.events.streams.empty() && client.session.open_streams() == 0; }, client, *app);
  }
  CHECK(IsUnvisited(http.mesh.app));
  CHECK_EQUAL(http.decider.ended(), 40u);
}

TEST("http2: trailers pass both ways, and of gRPC tell the status") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  Stream* const stream = client.session.Open(Grpc());
  client.session.Write(*stream, Bytes("abc"));
  Head trailers;
  trailers.Add("t", "1");
  client.session.FinishWith(*stream, trailers);
  client.Step();
  ServerPeer app(http.App());
  app.events.on_end = [&](Stream& asked) {
    app.session.Respond(asked, Response(200, false));
    app.session.Write(asked, Bytes("defg"));
    Head status;
    status.Add("grpc-status", "5");
    app.session.FinishWith(asked, status);
  };
  RunUntil([&] { return client.session.open_streams() == 0; }, client, app);
  CHECK_EQUAL(client.events.log, "1 head 200\n1 trailers grpc-status=5 |\n1 end\n1 closed\n");
  CHECK(app.events.log.find("1 trailers t=1 |\n") != std::string::npos);
  const RequestRecord ended = http.decider.EndedAt(0);
  CHECK_EQUAL(ended.outcome.grpc_status, 5u);
  CHECK_EQUAL(ended.outcome.flags, uint32_t{core::http::kHasTrailers});
  CHECK((ended.identity.flags & core::http::kGrpc) != 0);
}

TEST("http2: a request that waits for a decision keeps what comes of it") {
  Http2Mesh http;
  std::atomic<uint32_t> held = 0;
  http.decider.OnEachRequest([&](RequestRecord& record) {
    held = record.identity.exchange;
    record.decision.action = RequestAction::kHold;
  });
  ClientPeer client(http.Client());
  Stream* const stream = client.session.Open(Post("/"));
  const std::string body = Pattern(60'000, 5);
  client.session.Write(*stream, Bytes(body));
  client.session.Finish(*stream);
  RunUntil([&] { return held != 0 && client.events.sent == body.size(); }, client);
  http.mesh.WithEngine([&](core::Engine& engine) { CHECK(engine.http().ResumeRequest(held, http.decider.forward())); });
  ServerPeer app(http.App());
  AnswerAll(app);
  RunUntil([&] { return client.session.open_streams() == 0; }, client, app);
  CHECK(client.events.bodies[1] == body);
}

TEST("http2: CONNECT is a tunnel in both directions, each of which ends by itself") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  Head head;
  head.method_place = head.Append("CONNECT");
  head.authority_place = head.Append("weft.test:80");
  Stream* const stream = client.session.Open(head);
  client.session.Write(*stream, Bytes("early"));
  client.Step();
  ServerPeer app(http.App());
  app.events.on_head = [&](Stream& asked, const Head&) { app.session.Respond(asked, Response(200, false)); };
  RunUntil([&] { return !client.events.log.empty(); }, client, app);
  client.session.Write(*stream, Bytes("ping"));
  RunUntil([&] { return app.events.bodies[1] == "earlyping"; }, client, app);
  app.session.Write(*app.events.streams.at(1), Bytes("pong"));
  app.session.Finish(*app.events.streams.at(1));
  RunUntil([&] { return client.events.log.find("1 end") != std::string::npos; }, client, app);
  client.session.Write(*stream, Bytes("last"));
  client.session.Finish(*stream);
  RunUntil([&] { return client.session.open_streams() + app.session.open_streams() == 0; }, client, app);
  CHECK_EQUAL(app.events.bodies[1], "earlypinglast");
  CHECK_EQUAL(client.events.bodies[1], "pong");
  CheckEnded(http, 0, Ending::kComplete, 200);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.flags, uint32_t{core::http::kUpgraded});
}

}  // namespace
}  // namespace weft::test::http2
