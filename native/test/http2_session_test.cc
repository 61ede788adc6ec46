// What our two ends say to each other.
#include "check.h"
#include "http2_peers.h"

namespace weft::test {
namespace {

using namespace http2;

// Answers every request when it is complete.
void AnswerAll(Peers& peers) {
  peers.at_server.on_end = [&](Stream& stream) {
    Head head = Response(200, false);
    head.Add("Content-Type", "text/plain");
    peers.server.Respond(stream, head);
    peers.server.Write(stream, Bytes("hello"));
    peers.server.Finish(stream);
  };
}

TEST("HTTP/2: a request and its response") {
  for (const size_t step : {size_t{1}, size_t{7}, SIZE_MAX}) {
    Peers peers;
    peers.step = step;
    AnswerAll(peers);
    Head request = Request("GET", "/path?query");
    request.Add("X-Name", "value");
    request.Add("authorization", "secret", true);
    Stream* const stream = peers.client.Open(request);
    CHECK(stream != nullptr);
    peers.Run();
    CHECK_EQUAL(peers.at_server.log,
                "1 head GET http weft.test /path?query x-name=value authorization:=secret |\n1 end\n1 closed\n");
    CHECK_EQUAL(peers.at_client.log, "1 head 200 content-type=text/plain\n1 end\n1 closed\n");
    CHECK_EQUAL(peers.at_client.bodies[1], "hello");
    CHECK_EQUAL(peers.at_server.sent, 5u);
    CHECK_EQUAL(peers.server.open_streams() + peers.client.open_streams(), 0u);
    CHECK(!peers.server.has_output() && !peers.client.has_output());
  }
}

TEST("HTTP/2: bodies and trailers both ways, interim responses") {
  Peers peers;
  peers.at_server.on_head = [&](Stream& stream, const Head&) {
    Head early = Response(103, false);
    early.Add("link", "</a>");
    peers.server.Respond(stream, early);
    peers.server.Respond(stream, Response(200, false));
  };
  peers.at_server.on_body = [&](Stream& stream, std::span<const std::byte> bytes) {
    CHECK_EQUAL(peers.server.Write(stream, bytes), bytes.size());
  };
  peers.at_server.on_end = [&](Stream& stream) {
    Head trailers;
    trailers.Add("grpc-status", "0");
    peers.server.FinishWith(stream, trailers);
  };
  Stream* const stream = peers.client.Open(Request("POST", "/", false));
  peers.client.Write(*stream, Bytes("one "));
  peers.Run();
  peers.client.Write(*stream, Bytes("two"));
  Head trailers;
  trailers.Add("x-sum", "7");
  peers.client.FinishWith(*stream, trailers);
  peers.Run();
  CHECK_EQUAL(peers.at_server.log, "1 head POST http weft.test /\n1 trailers x-sum=7 |\n1 end\n1 closed\n");
  CHECK_EQUAL(peers.at_client.log, "1 head 103 link=</a>\n1 head 200\n1 trailers grpc-status=0 |\n1 end\n1 closed\n");
  CHECK_EQUAL(peers.at_client.bodies[1], "one two");
}

TEST("HTTP/2: a head alone is a whole response, with trailers-only the status of gRPC") {
  Peers peers;
  peers.at_server.on_end = [&](Stream& stream) {
    Head head = Response(200);
    head.Add("grpc-status", "12");
    peers.server.Respond(stream, head);
  };
  peers.client.Open(Request("POST", "/a"));
  peers.Run();
  CHECK_EQUAL(peers.at_client.log, "1 head 200 grpc-status=12 |\n1 end\n1 closed\n");
}

TEST("HTTP/2: a slow reader holds up its own stream only, and no more than its window is held of it") {
  Peers peers;
  const Limits limits;
  const std::string body(2'000'000, 'x');
  peers.at_server.on_end = [&](Stream& stream) { peers.server.Respond(stream, Response(200, false)); };
  Stream* const slow = peers.client.Open(Request("GET", "/slow"));
  Stream* const fast = peers.client.Open(Request("GET", "/fast"));
  peers.Run();
  peers.at_client.consumes = false;
  peers.at_client.on_body = [&](Stream& stream, std::span<const std::byte> bytes) {
    if (&stream == fast) peers.client.Consumed(stream, bytes.size());
  };
  size_t written[2] = {};
  while (written[1] < body.size()) {
    for (Stream* const stream : {slow, fast}) {
      Stream& to = *peers.at_server.streams[stream->id()];
      size_t& at = written[stream == fast];
      at += peers.server.Write(to, Bytes(body).subspan(at));
    }
    peers.Run();
  }
  CHECK_EQUAL(peers.at_client.bodies[fast->id()].size(), body.size());
  CHECK_EQUAL(slow->held(), limits.window);
  CHECK_EQUAL(peers.at_client.bodies[slow->id()].size(), size_t{limits.window});
  CHECK_EQUAL(peers.server.room(*peers.at_server.streams[slow->id()]), 0u);
  // It goes on where it was.
  peers.at_client.on_body = nullptr;
  peers.at_client.consumes = true;
  peers.client.Consumed(*slow, slow->held());
  while (written[0] < body.size()) {
    peers.Run();
    written[0] += peers.server.Write(*peers.at_server.streams[slow->id()], Bytes(body).subspan(written[0]));
  }
  peers.Run();
  CHECK_EQUAL(peers.at_client.bodies[slow->id()].size(), body.size());
}

TEST("HTTP/2: as many slow readers as there are streams never stop the connection") {
  Peers peers;
  const std::string body(70'000, 'x');
  peers.at_server.on_end = [&](Stream& stream) {
    peers.server.Respond(stream, Response(200, false));
    peers.server.Write(stream, Bytes(body));
    peers.server.Finish(stream);
  };
  peers.Run();
  peers.at_client.consumes = false;
  std::vector<Stream*> streams;
  while (Stream* const stream = peers.client.Open(Request("GET", "/"))) streams.push_back(stream);
  CHECK_EQUAL(streams.size(), 1024u);
  peers.Run();
  for (Stream* const stream : streams) CHECK_EQUAL(stream->held(), 64u * 1024);
  for (Stream* const stream : streams) peers.client.Consumed(*stream, stream->held());
  peers.Run();
  CHECK_EQUAL(peers.client.open_streams(), 0u);
  for (const auto& [id, received] : peers.at_client.bodies) CHECK_EQUAL(received.size(), body.size());
}

TEST("HTTP/2: the window of a reader that keeps up grows, within the bound for all") {
  Limits limits;
  limits.max_growth = 256 * 1024;
  Peers peers({}, limits);
  const std::string body(1 << 20, 'x');
  peers.at_server.on_end = [&](Stream& stream) {
    peers.server.Respond(stream, Response(200, false));
    CHECK_EQUAL(peers.server.Write(stream, Bytes(body)), body.size());
  };
  std::vector<Stream*> streams = {peers.client.Open(Request("GET", "/")), peers.client.Open(Request("GET", "/"))};
  peers.Run();
  peers.at_client.consumes = false;
  for (Stream* const stream : streams) peers.server.Write(*peers.at_server.streams[stream->id()], Bytes(body));
  peers.Run();
  const size_t held = streams[0]->held() + streams[1]->held();
  CHECK(held > 2 * limits.window && held <= 2 * limits.window + limits.max_growth);
}

TEST("HTTP/2: resets pass with their code, at any time") {
  Peers peers;
  Stream* const first = peers.client.Open(Request("POST", "/", false));
  peers.client.Write(*first, Bytes("body"));
  peers.Run();
  peers.client.Reset(*first, ErrorCode::kCancel);
  peers.Run();
  CHECK_EQUAL(peers.at_server.TakeLog(), "1 head POST http weft.test /\n1 reset cancel by peer\n");

  Stream* const second = peers.client.Open(Request("GET", "/"));
  peers.Run();
  peers.server.Reset(*peers.at_server.streams[second->id()], ErrorCode::kInternalError);
  peers.Run();
  CHECK_EQUAL(peers.at_client.TakeLog(), "3 reset internal_error by peer\n");

  // Before anything has left.
  peers.client.Reset(*peers.client.Open(Request("GET", "/")), ErrorCode::kCancel);
  peers.at_server.TakeLog();
  peers.Run();
  CHECK_EQUAL(peers.at_server.log, "");
  CHECK_EQUAL(peers.at_client.log, "");
  CHECK(peers.client.can_open());

  // Inside an event, with much queued.
  const std::string body(500'000, 'x');
  peers.at_server.on_head = [&](Stream& stream, const Head&) {
    peers.server.Respond(stream, Response(200, false));
    peers.server.Write(stream, Bytes(body));
  };
  peers.at_client.on_body = [&](Stream& stream, std::span<const std::byte>) {
    if (peers.at_client.streams.erase(stream.id()) != 0) peers.client.Reset(stream, ErrorCode::kCancel);
  };
  peers.client.Open(Request("GET", "/"));
  peers.Run();
  CHECK_EQUAL(peers.server.open_streams() + peers.client.open_streams(), 0u);
}

TEST("HTTP/2: a response that does not want the rest of its request") {
  Peers peers;
  peers.at_server.on_head = [&](Stream& stream, const Head&) {
    peers.server.Respond(stream, Response(413));
    peers.server.StopReading(stream);
  };
  Stream* const stream = peers.client.Open(Request("POST", "/", false));
  const std::string body(1'000'000, 'x');
  peers.client.Write(*stream, Bytes(body));
  peers.Run();
  CHECK_EQUAL(peers.at_server.log, "1 head POST http weft.test /\n1 closed\n");
  CHECK_EQUAL(peers.at_client.log, "1 head 413 |\n1 end\n1 closed\n");
}

TEST("HTTP/2: as many streams as the server takes") {
  Limits limits;
  limits.max_streams = 3;
  Peers peers(limits);
  peers.Run();
  for (int i = 0; i < 3; i++) CHECK(peers.client.Open(Request("GET", "/")) != nullptr);
  CHECK(!peers.client.can_open());
  CHECK(peers.client.Open(Request("GET", "/")) == nullptr);
  peers.Run();
  peers.server.Respond(*peers.at_server.streams[3], Response(204));
  peers.Run();
  CHECK(peers.client.Open(Request("GET", "/")) != nullptr);
}

TEST("HTTP/2: a server that drains serves what was on its way, and then is over") {
  Peers peers;
  peers.client.Open(Request("GET", "/1"));
  peers.Run();
  peers.server.Drain();
  peers.client.Open(Request("GET", "/2"));
  peers.Carry(peers.client, peers.server);
  peers.Run();
  CHECK_EQUAL(peers.at_client.TakeLog(), "goaway no_error\ngoaway no_error\n");
  CHECK(!peers.client.can_open());
  CHECK(!peers.server.over() && !peers.client.over());
  for (const int32_t id : {1, 3}) peers.server.Respond(*peers.at_server.streams[id], Response(204));
  peers.Run();
  CHECK_EQUAL(peers.at_client.log, "1 head 204 |\n1 end\n1 closed\n3 head 204 |\n3 end\n3 closed\n");
  CHECK(peers.server.over() && peers.client.over());
}

TEST("HTTP/2: what a server that goes away has not seen may be repeated") {
  Peers peers;
  peers.Run();
  Stream* const lost = peers.client.Open(Request("GET", "/"));
  peers.server.Fail(ErrorCode::kInternalError);
  peers.Carry(peers.server, peers.client);
  CHECK(lost != nullptr);
  std::string bytes(16384, '\0');
  while (peers.client.Output(std::as_writable_bytes(std::span(bytes))) != 0) continue;
  CHECK_EQUAL(peers.at_client.log, "goaway internal_error\n1 reset refused_stream by peer\n");
  CHECK(peers.server.over());
  CHECK(peers.client.error() == ErrorCode::kInternalError);
}

TEST("HTTP/2: a client that drains") {
  Peers peers;
  Stream* const stream = peers.client.Open(Request("GET", "/"));
  peers.Run();
  peers.client.Drain();
  CHECK(peers.client.Open(Request("GET", "/")) == nullptr);
  peers.Run();
  CHECK_EQUAL(peers.at_server.TakeLog(), "1 head GET http weft.test / |\n1 end\ngoaway no_error\n");
  peers.server.Respond(*peers.at_server.streams[stream->id()], Response(204));
  peers.Run();
  CHECK(peers.client.over() && peers.server.over());
}

TEST("HTTP/2: a connection that ends shows every stream once more") {
  Peers peers;
  for (int i = 0; i < 5; i++) peers.client.Open(Request("GET", "/"));
  peers.Run();
  int shown = 0;
  peers.client.EndAll([&](Stream&) { shown++; });
  CHECK_EQUAL(shown, 5);
  peers.server.EndAll([&](Stream&) { shown++; });
  CHECK_EQUAL(shown, 10);
  peers.Run();
}

TEST("HTTP/2: PING finds out about peers that are gone") {
  Limits limits;
  limits.ping_after_us = 1000;
  limits.ping_timeout_us = 500;
  Peers peers({}, limits);
  peers.Run();
  CHECK_EQUAL(peers.client.deadline_us(), 1001);
  CHECK(peers.client.OnTime(1000));
  CHECK(!peers.client.has_output());
  CHECK(peers.client.OnTime(1001));
  CHECK(peers.client.has_output());
  CHECK_EQUAL(peers.client.deadline_us(), 1501);
  peers.now_us = 1400;
  peers.Run();
  CHECK_EQUAL(peers.client.deadline_us(), 2400);
  CHECK(peers.client.OnTime(2400));
  CHECK(peers.client.OnTime(2899));
  CHECK(!peers.client.OnTime(2900));
}

TEST("HTTP/2: CONNECT and extended CONNECT are tunnels") {
  Peers peers;
  peers.at_server.on_head = [&](Stream& stream, const Head&) { peers.server.Respond(stream, Response(200, false)); };
  peers.at_server.on_body = [&](Stream& stream, std::span<const std::byte> bytes) {
    peers.server.Write(stream, bytes);
  };
  peers.Run();
  CHECK(peers.client.takes_extended_connect());
  Head connect;
  connect.method_place = connect.Append("CONNECT");
  connect.authority_place = connect.Append("weft.test:443");
  Head websocket = Request("CONNECT", "/chat", false);
  websocket.protocol_place = websocket.Append("websocket");
  for (const Head& head : {connect, websocket}) {
    Stream* const stream = peers.client.Open(head);
    peers.client.Write(*stream, Bytes("ping"));
    peers.Run();
    CHECK_EQUAL(peers.at_client.bodies[stream->id()], "ping");
  }
  CHECK_EQUAL(peers.at_server.log, "1 head CONNECT weft.test:443\n3 head CONNECT websocket http weft.test /chat\n");
}

TEST("HTTP/2: there is something to send is said once") {
  Peers peers;
  peers.Run();
  peers.at_client.outputs = 0;
  Stream* const stream = peers.client.Open(Request("POST", "/", false));
  peers.client.Write(*stream, Bytes("one"));
  peers.client.Write(*stream, Bytes("two"));
  CHECK_EQUAL(peers.at_client.outputs, 1);
  peers.Run();
  peers.client.Write(*stream, Bytes("three"));
  CHECK_EQUAL(peers.at_client.outputs, 2);
}

}  // namespace
}  // namespace weft::test
