// HTTP/2 at one end, HTTP/1.1 at the other.
#include "http2_sockets.h"

namespace weft::test::http2 {
namespace {

TEST("http2: to an app of HTTP/1.1, with bodies and trailers") {
  Http2Mesh http;
  http.UseUpstream(11);
  ClientPeer client(http.Client());
  Stream* const stream = client.session.Open(Post("/a"));
  client.session.Write(*stream, Bytes("abc"));
  Head trailers;
  trailers.Add("t", "1");
  client.session.FinishWith(*stream, trailers);
  client.Step();
  const Descriptor app = http.App();
  CHECK_EQUAL(ReceiveHead(app), "POST /a HTTP/1.1\r\nhost: weft.test\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK_EQUAL(ReceiveUntil(app, "t: 1\r\n\r\n"), "3\r\nabc\r\n0\r\nt: 1\r\n\r\n");
  weft::test::Send(app,
                   "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  weft::test::Send(app, "4\r\ndefg\r\n0\r\nU: 2\r\n\r\n");
  RunUntil([&] { return client.session.open_streams() == 0; }, client);
  CHECK_EQUAL(client.events.log, "1 head 103 link=x\n1 head 200\n1 trailers u=2 |\n1 end\n1 closed\n");
  CHECK_EQUAL(client.events.bodies[1], "defg");
  CheckEnded(http, 0, Ending::kComplete, 200);
  // It may be used again.
  client.session.Open(Request("GET", "/b"));
  client.Step();
  CHECK_EQUAL(ReceiveHead(app), "GET /b HTTP/1.1\r\nhost: weft.test\r\n\r\n");
  weft::test::Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  RunUntil([&] { return client.session.open_streams() == 0; }, client);
  CHECK_EQUAL(client.events.bodies[3], "ok");
}

TEST("http2: a large body to and from an app of HTTP/1.1 that is slow") {
  Http2Mesh http;
  http.UseUpstream(11);
  ClientPeer client(http.Client());
  Stream* const stream = client.session.Open(Post("/"));
  client.Step();
  const Descriptor app = http.App();
  ReceiveHead(app);
  const std::string body = Pattern(2'000'000, 3);
  size_t at = 0;
  std::string got;
  for (bool blocked = false; !blocked;) {
    const size_t before = client.events.sent;
    for (int i = 0; i < 20; i++) {
      at += client.session.Write(*stream, Bytes(std::string_view(body).substr(at)));
      client.Step();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    blocked = client.events.sent == before || at == body.size();
  }
  core::http1::Limits limits;
  char buffer[65536];
  RunUntil(
      [&] {
        at += client.session.Write(*stream, Bytes(std::string_view(body).substr(at)));
        if (at == body.size()) client.session.Finish(*stream);
        const ssize_t size = recv(app.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (size > 0) got.append(buffer, static_cast<size_t>(size));
        return got.ends_with("0\r\n\r\n");
      },
      client);
  CHECK(got.size() > body.size());
  weft::test::Send(app, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  RunUntil([&] { return client.session.open_streams() == 0; }, client);
  CHECK_EQUAL(client.events.bodies[1], "hello");
  CHECK_EQUAL(http.decider.EndedAt(0).outcome.request_bytes, static_cast<double>(body.size()));
}

TEST("http2: from a client of HTTP/1.1, with bodies and trailers") {
  Http2Mesh http;
  http.UseUpstream(20);
  const Descriptor client = http.Client();
  weft::test::Send(client,
                   "POST /a HTTP/1.1\r\nHost: w\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nT: 1\r\n\r\n");
  ServerPeer app(http.App());
  app.events.on_end = [&](Stream& asked) {
    app.session.Respond(asked, Response(200, false));
    app.session.Write(asked, Bytes("defg"));
    Head trailers;
    trailers.Add("u", "2");
    app.session.FinishWith(asked, trailers);
  };
  RunUntil([&] { return app.session.open_streams() == 0 && !app.events.log.empty() && http.decider.ended() == 1; },
           app);
  CHECK(app.events.log.starts_with("1 head POST http w /a\n1 trailers t=1 |\n1 end\n"));
  CHECK_EQUAL(app.events.bodies[1], "abc");
  CHECK_EQUAL(ReceiveUntil(client, "u: 2\r\n\r\n"),
              "HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndefg\r\n0\r\nu: 2\r\n\r\n");
  CheckEnded(http, 0, Ending::kComplete, 200);
  weft::test::Send(client, "GET /b HTTP/1.1\r\nHost: w\r\n\r\n");
  app.events.on_end = [&](Stream& asked) { app.session.Respond(asked, Response(204)); };
  RunUntil([&] { return http.decider.ended() == 2; }, app);
  CHECK(ReceiveHead(client).starts_with("HTTP/1.1 204 "));
}

TEST("http2: a large response to a client of HTTP/1.1 that is slow") {
  Http2Mesh http;
  http.UseUpstream(20);
  const Descriptor client = http.Client();
  weft::test::Send(client, "GET /a HTTP/1.1\r\nHost: w\r\n\r\n");
  ServerPeer app(http.App());
  const std::string body = Pattern(8'000'000, 4);
  size_t at = 0;
  Stream* asked = nullptr;
  app.events.on_end = [&](Stream& stream) {
    Head head = Response(200, false);
    head.Add("content-length", std::to_string(body.size()));
    app.session.Respond(stream, head);
    asked = &stream;
  };
  std::string got;
  char buffer[65536];
  int turns = 0;
  RunUntil(
      [&] {
        if (asked != nullptr && at < body.size()) {
          at += app.session.Write(*asked, Bytes(std::string_view(body).substr(at)));
          if (at == body.size()) app.session.Finish(*asked);
        }
        if (turns++ < 200) return false;  // nobody reads
        const ssize_t size = recv(client.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (size > 0) got.append(buffer, static_cast<size_t>(size));
        return got.size() >= body.size() && got.ends_with(std::string_view(body).substr(body.size() - 1000));
      },
      app);
  CHECK(got.ends_with(body));
  CheckEnded(http, 0, Ending::kComplete, 200);
}

}  // namespace
}  // namespace weft::test::http2
