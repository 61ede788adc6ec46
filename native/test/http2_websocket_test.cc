// WebSockets over HTTP/2: extended CONNECT (RFC 8441).
#include "http2_sockets.h"

namespace weft::test::http2 {
namespace {

const std::string kSwitch =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\n";

Head WebSocket(std::string_view path) {
  Head head = Request("CONNECT", path, false);
  head.protocol_place = head.Append("websocket");
  head.Add("sec-websocket-version", "13");
  return head;
}

void OpenWebSocket(ClientPeer& client) {
  RunUntil([&] { return client.session.takes_extended_connect(); }, client);
  CHECK(client.session.Open(WebSocket("/chat")) != nullptr);
  client.Step();
}

TEST("http2: a WebSocket is a tunnel to an app of HTTP/2, which is asked once it has said what it takes") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  OpenWebSocket(client);
  ServerPeer app(http.App());
  app.reads = false;  // what it takes is said later
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  app.reads = true;
  app.events.on_head = [&](Stream& stream, const Head&) { app.session.Respond(stream, Response(200, false)); };
  app.events.on_body = [&](Stream& stream, std::span<const std::byte> bytes) { app.session.Write(stream, bytes); };
  app.events.on_end = [&](Stream& stream) { app.session.Finish(stream); };
  RunUntil([&] { return client.events.log.ends_with("head 200\n"); }, client, app);
  Stream& stream = *client.events.streams.at(1);
  client.session.Write(stream, Bytes("ping"));
  RunUntil([&] { return client.events.bodies[1] == "ping"; }, client, app);
  client.session.Finish(stream);
  RunUntil([&] { return client.session.open_streams() == 0; }, client, app);
  CHECK_EQUAL(app.events.log.substr(0, app.events.log.find('\n')),
              "1 head CONNECT websocket http weft.test /chat sec-websocket-version=13");
  CHECK_EQUAL(client.events.log, "1 head 200\n1 end\n1 closed\n");
  CheckEnded(http, 0, Ending::kComplete, 200);
}

TEST("http2: a WebSocket is an upgrade to an app of HTTP/1.1, with a key of our own") {
  Http2Mesh http;
  http.UseUpstream(11);
  ClientPeer client(http.Client());
  OpenWebSocket(client);
  const Descriptor app = http.App();
  const std::string head = ReceiveHead(app);
  CHECK(head.starts_with("GET /chat HTTP/1.1\r\nhost: weft.test\r\nsec-websocket-version: 13\r\n"));
  CHECK(head.find("sec-websocket-key: ") != std::string::npos);
  CHECK(head.find("Upgrade: websocket\r\n") != std::string::npos ||
        head.find("upgrade: websocket\r\n") != std::string::npos);
  weft::test::Send(app, kSwitch);
  weft::test::Send(app, "hello");
  RunUntil([&] { return client.events.bodies[1] == "hello"; }, client);
  Stream& stream = *client.events.streams.at(1);
  client.session.Write(stream, Bytes("abc"));
  client.session.Finish(stream);
  client.Step();
  CHECK_EQUAL(ReceiveAll(app), "abc");
  shutdown(app.get(), SHUT_WR);
  RunUntil([&] { return client.session.open_streams() == 0; }, client);
  CHECK_EQUAL(client.events.log, "1 head 200\n1 end\n1 closed\n");
  CheckEnded(http, 0, Ending::kComplete, 101);
}

TEST("http2: a WebSocket that an app of HTTP/1.1 refuses, or does not understand, is not granted") {
  for (const auto& [answer, expected] : std::vector<std::pair<std::string, std::string>>{
           {"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "1 head 403 content-length=2\n"},
           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "1 head 502 "},
           {"HTTP/1.1 204 No Content\r\n\r\n", "1 head 502 "}}) {
    Http2Mesh http;
    http.UseUpstream(11);
    ClientPeer client(http.Client());
    OpenWebSocket(client);
    const Descriptor app = http.App();
    ReceiveHead(app);
    weft::test::Send(app, answer);
    RunUntil([&] { return client.session.open_streams() == 0; }, client);
    CHECK(client.events.log.starts_with(expected));
  }
}

TEST("http2: a WebSocket is not granted for an app of HTTP/2 that knows none") {
  Http2Mesh http;
  ClientPeer client(http.Client());
  OpenWebSocket(client);
  // Its settings are empty.
  std::vector<Descriptor> apps;
  SetNonBlocking(http.mesh.app, true);
  RunUntil(
      [&] {
        Descriptor socket(accept4(http.mesh.app.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (socket) {
          weft::test::Send(socket, std::string_view("\0\0\0\4\0\0\0\0\0", 9));
          apps.push_back(std::move(socket));
        }
        return client.session.open_streams() == 0;
      },
      client);
  SetNonBlocking(http.mesh.app, false);
  CHECK(client.events.log.starts_with("1 head 502 "));
  CHECK(apps.size() <= 2);
}

}  // namespace
}  // namespace weft::test::http2
