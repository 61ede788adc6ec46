// How exchanges of HTTP/2 end that do not end well.
#include "http2_frames.h"
#include "http2_sockets.h"

namespace weft::test::http2 {
namespace {

TEST("http2: gRPC is answered with trailers only where no app can be had") {
  Http2Mesh http;
  RequestDecision decision = http.decider.forward();
  decision.destination_port = 1;  // nobody listens
  http.decider.Forward(decision);
  ClientPeer client(http.Client());
  client.session.Open(Grpc(true));
  RunUntil([&] { return !client.events.log.empty() && client.session.open_streams() == 0; }, client);
  CHECK(client.events.log.starts_with("1 head 200 l5d-proxy-error=status 502 date="));
  CHECK(client.events.log.find("content-type=application/grpc grpc-status=14 |\n") != std::string::npos);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.grpc_status, 14u);
}

TEST("http2: a gRPC request lasts as long as its client says") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  Head head = Grpc(true);
  head.Add("grpc-timeout", "150m");
  client.session.Open(head);
  client.Step();
  ServerPeer app(http.App());
  RunUntil([&] { return client.session.open_streams() == 0; }, client, app);
  RunUntil([&] { return app.events.log.find("1 reset cancel by peer\n") != std::string::npos; }, app);
  CheckEnded(http, 0, Ending::kRequestTimeout, 200);
}

TEST("http2: a gRPC response that has begun ends with a status when its app is gone") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  client.session.Open(Grpc(true));
  client.Step();
  std::optional<ServerPeer> app(http.App());
  app->events.on_end = [&](Stream& asked) { app->session.Respond(asked, Response(200, false)); };
  RunUntil([&] { return !client.events.log.empty(); }, client, *app);
  app.reset();
  RunUntil([&] { return client.session.open_streams() == 0; }, client);
  CHECK(client.events.log.find("1 trailers grpc-status=14 ") != std::string::npos);
  CheckEnded(http, 0, Ending::kUpstreamReset, 200);
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.grpc_status, 14u);
}

TEST("http2: a connection ends by its idle timeout also where its client takes nothing of what is left to send") {
  MeshOptions options = Detecting();
  options.decide = [decide = options.decide](core::ConnectionRecord& record) {
    decide(record);
    if (record.decision.action == core::Action::kHttp) record.decision.idle_timeout_ms = 300;
  };
  HttpMesh http(options);
  ClientPeer client(http.Client());
  client.events.consumes = false;
  client.session.Open(Request("GET", "/"));
  client.Step();
  ServerPeer app(http.App());
  const std::string body(100'000, 'x');  // more than the client's window, and little enough to be kept
  app.events.on_end = [&](Stream& stream) {
    app.session.Respond(stream, Response(200, false));
    app.session.Write(stream, Bytes(body));
    app.session.Finish(stream);
  };
  RunUntil([&] { return http.decider.ended() == 1; }, client, app);
  CheckEnded(http, 0, Ending::kComplete, 200);
  RunUntil([&] { return client.ended; }, client);
  EVENTUALLY(http.mesh.statistics().connections == 0);
}

TEST("http2: resets pass both ways with their codes, and end nothing else") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  Stream* const first = client.session.Open(Post("/1"));
  client.session.Open(Post("/2"));
  client.session.Open(Post("/3"));
  client.Step();
  ServerPeer app(http.App());
  RunUntil([&] { return app.events.streams.size() == 3; }, client, app);
  client.session.Reset(*first, ErrorCode::kInternalError);
  app.session.Reset(*app.events.streams.at(3), ErrorCode::kEnhanceYourCalm);
  app.session.Respond(*app.events.streams.at(5), Response(200));
  RunUntil([&] { return client.events.log.find("5 end") != std::string::npos; }, client, app);
  RunUntil([&] { return app.events.log.find("1 reset") != std::string::npos; }, client, app);
  CHECK(client.events.log.find("3 reset enhance_your_calm by peer\n") != std::string::npos);
  CHECK(app.events.log.find("1 reset internal_error by peer\n") != std::string::npos);
  size_t client_reset = 0, upstream_reset = 0;
  for (size_t i = 0; i < 3; i++) {
    const Ending ending = http.decider.EndedAt(i).outcome.ending;
    if (ending == Ending::kClientReset) client_reset++;
    if (ending == Ending::kUpstreamReset) upstream_reset++;
  }
  CHECK_EQUAL(client_reset, 1u);
  CHECK_EQUAL(upstream_reset, 1u);
}

TEST("http2: what an app has refused, or died over before it was asked, is asked again") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  client.session.Open(Request("GET", "/"));
  client.Step();
  ServerPeer app(http.App());
  int refused = 0;
  app.events.on_head = [&](Stream& stream, const Head&) {
    if (refused++ == 0) app.session.Reset(stream, ErrorCode::kRefusedStream);
  };
  AnswerAll(app);
  RunUntil([&] { return client.session.open_streams() == 0; }, client, app);
  CHECK_EQUAL(refused, 2);
  CHECK(client.events.log.starts_with("1 head 200\n"));
}

TEST("http2: the app's death in the middle of responses ends them all, and the next request goes to a new one") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  for (int i = 0; i < 10; i++) client.session.Open(Post("/"));
  client.Step();
  std::optional<ServerPeer> app(http.App());
  app->events.on_head = [&](Stream& stream, const Head&) { app->session.Respond(stream, Response(200, false)); };
  RunUntil([&] { return client.events.streams.size() == 10; }, client, *app);
  app.reset();
  RunUntil([&] { return client.session.open_streams() == 0; }, client);
  for (size_t i = 0; i < 10; i++) CheckEnded(http, i, Ending::kUpstreamReset, 200);
  client.session.Open(Request("GET", "/"));
  client.Step();
  ServerPeer next(http.App());
  AnswerAll(next);
  RunUntil([&] { return client.session.open_streams() == 0; }, client, next);
  CheckEnded(http, 10, Ending::kComplete, 200);
}

TEST("http2: an app that goes away finishes what is under way, and the next request goes to a new one") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  client.session.Open(Request("GET", "/1"));
  client.Step();
  ServerPeer app(http.App());
  RunUntil([&] { return app.events.streams.size() == 1; }, client, app);
  app.session.Drain();
  for (int i = 0; i < 20; i++) {
    app.Step();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  client.session.Open(Request("GET", "/2"));
  client.Step();
  ServerPeer next(http.App());
  AnswerAll(next);
  RunUntil([&] { return client.events.log.find("3 end") != std::string::npos; }, client, app, next);
  app.session.Respond(*app.events.streams.at(1), Response(200));
  RunUntil([&] { return client.events.log.find("1 end") != std::string::npos; }, client, app, next);
  RunUntil([&] { return app.ended; }, client, app, next);
}

TEST("http2: a client is told to go when the engine drains, and its request is finished") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  client.session.Open(Request("GET", "/"));
  client.Step();
  ServerPeer app(http.App());
  RunUntil([&] { return app.events.streams.size() == 1; }, client, app);
  http.mesh.WithEngine([](core::Engine& engine) { engine.http().Drain(); });
  RunUntil([&] { return client.events.log.find("goaway no_error") != std::string::npos; }, client, app);
  app.session.Respond(*app.events.streams.at(1), Response(200));
  RunUntil([&] { return client.ended; }, client, app);
  CHECK(client.events.log.find("1 head 200") != std::string::npos);
  CheckEnded(http, 0, Ending::kComplete, 200);
  EVENTUALLY(http.mesh.statistics().connections == 0);
}

TEST("http2: a client that resets what it asks, again and again, is sent away") {
  Http2Mesh http;
  http.decider.KeepNothing();
  const Descriptor client = http.Client();
  weft::test::Send(client, kPreface + Settings());
  uint32_t stream = 1;
  for (bool open = true; open && stream < 40'000;) {
    std::string attack;
    for (int i = 0; i < 50; i++, stream += 2) attack += Headers(stream, Get()) + weft::test::http2::Reset(stream);
    open = send(client.get(), attack.data(), attack.size(), MSG_NOSIGNAL) > 0;
    char buffer[16384];
    const ssize_t got = recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    open = open && got != 0 && (got > 0 || errno == EAGAIN);
  }
  CHECK(stream < 40'000);
  EVENTUALLY(http.mesh.statistics().connections == 0);
}

}  // namespace
}  // namespace weft::test::http2
