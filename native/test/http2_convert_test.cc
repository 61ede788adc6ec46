// Heads between the two forms of HTTP.
#include "../core/http1/reader.h"
#include "../core/http2/convert.h"
#include "../core/http2/grpc.h"
#include "../core/http2/head_check.h"
#include "../core/http2/websocket.h"
#include "check.h"
#include "http2_peers.h"

namespace weft::test {
namespace {

using namespace http2;
namespace http1 = core::http1;
using http1::Error;

Head With(Head head, const std::vector<std::pair<std::string, std::string>>& fields) {
  for (const auto& [name, value] : fields) head.Add(name, value);
  return head;
}

std::string ToHttp1(const Head& request) {
  std::string text;
  http1::Head out;
  const Error error = RequestToHttp1(request, "a-key", text, out);
  return error == Error::kNone ? text : std::string(Name(error));
}

std::string ToHttp1(const Head& response, http1::Exchange exchange) {
  std::string text;
  http1::Head out;
  const Error error = ResponseToHttp1(response, exchange, "an-accept", text, out);
  return error == Error::kNone ? text : std::string(Name(error));
}

const http1::Limits kLimits;

std::string FromHttp1(const std::string& text, const http1::RequestEdits& edits = {}, bool extended = true) {
  http1::Head head;
  http1::RequestReader reader(kLimits, head);
  std::string_view input = text;
  if (reader.Read(input) != http1::Event::kHead) return std::string(Name(reader.error()));
  Head out;
  const Error error = RequestFromHttp1(reader.head(), edits, {.scheme = "http", .extended_connect = extended}, out);
  return error == Error::kNone ? Show(out) : std::string(Name(error));
}

std::string FromHttp1(const std::string& text, http1::Exchange exchange, const http1::FieldEdits& edits = {}) {
  http1::Head head;
  http1::ResponseReader reader(kLimits, head);
  reader.Expect(exchange);
  std::string_view input = text;
  if (reader.Read(input) != http1::Event::kHead) return std::string(Name(reader.error()));
  Head out;
  const Error error = ResponseFromHttp1(reader.head(), edits, exchange, out);
  return error == Error::kNone ? Show(out) : std::string(Name(error));
}

TEST("HTTP/2 to HTTP/1.1: requests") {
  CHECK_EQUAL(ToHttp1(With(Request("GET", "/a?b"), {{"x", "y"}})),
              "GET /a?b HTTP/1.1\r\nhost: weft.test\r\nx: y\r\n\r\n");
  CHECK_EQUAL(ToHttp1(Request("OPTIONS", "*")), "OPTIONS * HTTP/1.1\r\nhost: weft.test\r\n\r\n");
  CHECK_EQUAL(ToHttp1(Request("POST", "/", false)),
              "POST / HTTP/1.1\r\nhost: weft.test\r\ntransfer-encoding: chunked\r\n\r\n");
  CHECK_EQUAL(ToHttp1(Request("POST", "/")), "POST / HTTP/1.1\r\nhost: weft.test\r\ncontent-length: 0\r\n\r\n");
  CHECK_EQUAL(ToHttp1(With(Request("POST", "/", false), {{"content-length", "3"}})),
              "POST / HTTP/1.1\r\nhost: weft.test\r\ncontent-length: 3\r\n\r\n");
  CHECK_EQUAL(ToHttp1(With(Request("GET", "/"), {{"cookie", "a=b"}, {"x", "y"}, {"cookie", "c=d"}})),
              "GET / HTTP/1.1\r\nhost: weft.test\r\nx: y\r\ncookie: a=b; c=d\r\n\r\n");
  CHECK_EQUAL(ToHttp1(With(Request("GET", "/"), {{"te", "trailers"}, {"http2-settings", "x"}})),
              "GET / HTTP/1.1\r\nhost: weft.test\r\nte: trailers\r\nconnection: te\r\n\r\n");
  Head connect;
  connect.method_place = connect.Append("CONNECT");
  connect.authority_place = connect.Append("weft.test:443");
  CHECK_EQUAL(ToHttp1(connect), "CONNECT weft.test:443 HTTP/1.1\r\nhost: weft.test:443\r\n\r\n");
  Head websocket = With(Request("CONNECT", "/chat", false), {{"sec-websocket-version", "13"}});
  websocket.protocol_place = websocket.Append("websocket");
  CHECK_EQUAL(ToHttp1(websocket),
              "GET /chat HTTP/1.1\r\nhost: weft.test\r\nsec-websocket-version: 13\r\nupgrade: websocket\r\n"
              "sec-websocket-key: a-key\r\nconnection: upgrade\r\n\r\n");
}

TEST("HTTP/2 to HTTP/1.1: what would be understood in two ways is refused") {
  const auto with = [](const std::string& name, const std::string& value) {
    return ToHttp1(With(Request("POST", "/", false), {{name, value}}));
  };
  for (const std::string bad : {"a\r\nb: c", "a\r\n\r\nGET /smuggled HTTP/1.1", "a\nb", "a\rb", "a\x01"}) {
    CHECK_EQUAL(with("x", bad), "field_value_invalid");
    CHECK_EQUAL(with("cookie", bad), "field_value_invalid");
    CHECK_EQUAL(with(bad, "x"), "field_name_invalid");
    CHECK_EQUAL(ToHttp1(Request(bad, "/")), "target_invalid");
    CHECK_EQUAL(ToHttp1(Request("GET", "/" + bad)), "target_invalid");
    CHECK_EQUAL(ToHttp1(Request("GET", "/", true, bad)), "target_invalid");
    CHECK_EQUAL(ToHttp1(With(Response(200), {{"x", bad}}), {}), "field_value_invalid");
  }
  CHECK_EQUAL(with("x", std::string("a\0b", 3)), "field_value_invalid");
  CHECK_EQUAL(with("x:", "1"), "field_name_invalid");
  CHECK_EQUAL(with("", "1"), "field_name_invalid");
  CHECK_EQUAL(with("content-length", "1, 1"), "content_length_invalid");
  CHECK_EQUAL(with("content-length", "+1"), "content_length_invalid");
  CHECK_EQUAL(ToHttp1(With(Request("POST", "/", false), {{"content-length", "1"}, {"content-length", "1"}})),
              "content_length_duplicate");
  CHECK_EQUAL(ToHttp1(Request("GET", "a")), "target_form_invalid");
  CHECK_EQUAL(ToHttp1(Request("GET", "/a b")), "target_invalid");
  CHECK_EQUAL(ToHttp1(Request("G:T", "/")), "method_invalid");
  CHECK_EQUAL(ToHttp1(Request("GET", "/", true, "user@host")), "host_invalid");
}

TEST("HTTP/2: heads are checked where nghttp2 does not") {
  const auto check = [](Head head) { return std::string(Name(CheckRequest(head))); };
  CHECK_EQUAL(check(Request("GET", "/")), "none");
  CHECK_EQUAL(check(Request("GET", "/", true, "")), "host_missing");
  CHECK_EQUAL(check(With(Request("GET", "/", true, ""), {{"host", "weft.test"}})), "none");
  CHECK_EQUAL(check(With(Request("GET", "/"), {{"host", "WEFT.test"}})), "none");
  CHECK_EQUAL(check(With(Request("GET", "/"), {{"host", "other.test"}})), "host_invalid");
  CHECK_EQUAL(check(Request("GET", "/", true, "user@weft.test")), "authority_invalid");
  CHECK_EQUAL(check(Request("GET", "/", true, "weft.test:x")), "authority_invalid");
  CHECK_EQUAL(check(Request("GET", "/", true, "weft.test:70000")), "authority_invalid");
  CHECK_EQUAL(check(Request("GET", "/a#b")), "target_invalid");
  CHECK_EQUAL(check(Request("GET", "/a b")), "target_invalid");
  CHECK_EQUAL(check(Request("GET", "a")), "target_invalid");
  CHECK_EQUAL(check(Request("GET", "http://weft.test/")), "target_invalid");
  CHECK_EQUAL(check(Request("GET", "*")), "target_form_invalid");
  CHECK_EQUAL(check(Request("OPTIONS", "*")), "none");
  CHECK_EQUAL(check(Request("G:T", "/")), "method_invalid");
  CHECK_EQUAL(check(Request(std::string(65, 'G'), "/")), "method_too_long");
  Head scheme = Request("GET", "/");
  scheme.scheme_place = scheme.Append("ftp");
  CHECK_EQUAL(check(scheme), "target_form_invalid");
  for (const auto& [authority, expected] :
       std::vector<std::pair<std::string, std::string>>{{"weft.test:443", "none"},
                                                        {"[::1]:443", "none"},
                                                        {"weft.test", "authority_invalid"},
                                                        {"weft.test:", "authority_invalid"},
                                                        {"[::1]", "authority_invalid"}}) {
    Head connect;
    connect.method_place = connect.Append("CONNECT");
    connect.authority_place = connect.Append(authority);
    CHECK_EQUAL(check(connect), expected);
  }
}

TEST("HTTP/2 to HTTP/1.1: responses") {
  CHECK_EQUAL(ToHttp1(With(Response(200, false), {{"x", "y"}}), {}),
              "HTTP/1.1 200 \r\nx: y\r\ntransfer-encoding: chunked\r\n\r\n");
  CHECK_EQUAL(ToHttp1(With(Response(200, false), {{"content-length", "5"}}), {}),
              "HTTP/1.1 200 \r\ncontent-length: 5\r\n\r\n");
  CHECK_EQUAL(ToHttp1(Response(404), {}), "HTTP/1.1 404 \r\ncontent-length: 0\r\n\r\n");
  CHECK_EQUAL(ToHttp1(Response(200), {.head = true}), "HTTP/1.1 200 \r\n\r\n");
  CHECK_EQUAL(ToHttp1(Response(204), {}), "HTTP/1.1 204 \r\n\r\n");
  CHECK_EQUAL(ToHttp1(Response(304), {}), "HTTP/1.1 304 \r\n\r\n");
  CHECK_EQUAL(ToHttp1(With(Response(103, false), {{"link", "</a>"}}), {}), "HTTP/1.1 103 \r\nlink: </a>\r\n\r\n");
  CHECK_EQUAL(ToHttp1(With(Response(200), {{"set-cookie", "a"}, {"set-cookie", "b"}}), {.head = true}),
              "HTTP/1.1 200 \r\nset-cookie: a\r\nset-cookie: b\r\n\r\n");
  CHECK_EQUAL(ToHttp1(Response(200, false), {.connect = true}), "HTTP/1.1 200 \r\n\r\n");
  CHECK_EQUAL(ToHttp1(Response(200, false), {.upgrade = true}),
              "HTTP/1.1 101 \r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: an-accept\r\n\r\n");
  CHECK_EQUAL(ToHttp1(Response(403), {.upgrade = true}), "HTTP/1.1 403 \r\ncontent-length: 0\r\n\r\n");
}

TEST("HTTP/1.1 to HTTP/2: requests") {
  const std::string host = "Host: weft.test\r\n";
  CHECK_EQUAL(FromHttp1("GET /a?b HTTP/1.1\r\n" + host + "X-Y: Z\r\n\r\n"), "GET http weft.test /a?b x-y=Z |");
  CHECK_EQUAL(FromHttp1("GET http://other.test?q HTTP/1.1\r\n" + host + "\r\n"), "GET http other.test /?q |");
  CHECK_EQUAL(FromHttp1("OPTIONS * HTTP/1.1\r\n" + host + "\r\n"), "OPTIONS http weft.test * |");
  CHECK_EQUAL(FromHttp1("POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n"), "POST http weft.test /");
  CHECK_EQUAL(FromHttp1("POST / HTTP/1.1\r\n" + host + "Content-Length: 3\r\n\r\nabc"),
              "POST http weft.test / content-length=3");
  CHECK_EQUAL(FromHttp1("GET / HTTP/1.1\r\n" + host +
                        "Connection: keep-alive, X-Hop, TE\r\nKeep-Alive: 5\r\nX-Hop: 1\r\nTE: gzip, trailers\r\n"
                        "Proxy-Connection: close\r\nX: 2\r\n\r\n"),
              "GET http weft.test / x=2 te=trailers |");
  CHECK_EQUAL(FromHttp1("GET / HTTP/1.0\r\n\r\n"), "edit_invalid");
  CHECK_EQUAL(FromHttp1("GET / HTTP/1.0\r\n\r\n", {.authority = "weft.test"}), "GET http weft.test / |");
  CHECK_EQUAL(FromHttp1("CONNECT weft.test:1 HTTP/1.1\r\n" + host + "\r\n"), "CONNECT weft.test:1");
  const std::string upgrade = "GET /chat HTTP/1.1\r\n" + host +
                              "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n"
                              "Sec-WebSocket-Version: 13\r\n\r\n";
  CHECK_EQUAL(FromHttp1(upgrade), "CONNECT websocket http weft.test /chat sec-websocket-version=13");
  CHECK_EQUAL(FromHttp1(upgrade, {}, false), "GET http weft.test /chat sec-websocket-key=k sec-websocket-version=13 |");
}

TEST("HTTP/1.1 to HTTP/2: edits are those of HTTP/1.1") {
  const std::string request = "GET /a HTTP/1.1\r\nHost: weft.test\r\nL5d-A: 1\r\nB: 2\r\n\r\n";
  const std::string_view remove[] = {"l5d-a"};
  const http1::NewField set[] = {{"B", "3"}}, add[] = {{"C", "4"}};
  http1::RequestEdits edits{.fields = {remove, set, add}, .path = "/x", .authority = "other.test"};
  CHECK_EQUAL(FromHttp1(request, edits), "GET http other.test /x b=3 c=4 |");
  for (const http1::NewField& bad : std::initializer_list<http1::NewField>{
           {"a b", "1"}, {"a", "1\n"}, {"host", "x"}, {"content-length", "1"}, {"connection", "x"}, {":path", "/"}}) {
    const http1::NewField fields[] = {bad};
    CHECK_EQUAL(FromHttp1(request, {.fields = {.set = fields}}), "edit_invalid");
  }
  CHECK_EQUAL(FromHttp1(request, {.path = "x"}), "edit_invalid");
  CHECK_EQUAL(FromHttp1(request, {.authority = "a b"}), "edit_invalid");
  Head out, received = With(Request("GET", "/a"), {{"l5d-a", "1"}, {"b", "2"}, {"te", "trailers"}});
  received.Add("authorization", "x", true);
  CHECK(ForwardRequest(received, edits, out) == Error::kNone);
  CHECK_EQUAL(Show(out), "GET http other.test /x te=trailers authorization:=x b=3 c=4 |");
  CHECK(ForwardResponse(With(Response(200, false), {{"b", "2"}}), edits.fields, out) == Error::kNone);
  CHECK_EQUAL(Show(out), "200 b=3 c=4");
  CHECK(ForwardTrailers(With(Head(), {{"b", "2"}, {"z", "1"}}), edits.fields, out) == Error::kNone);
  CHECK_EQUAL(Show(out), "z=1 b=3 c=4 |");
}

TEST("HTTP/1.1 to HTTP/2: responses") {
  CHECK_EQUAL(FromHttp1("HTTP/1.1 200 OK\r\nConnection: close, x\r\nX: 1\r\nY: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
                        http1::Exchange()),
              "200 y=2");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", http1::Exchange()), "200 content-length=0 |");
  CHECK_EQUAL(FromHttp1("HTTP/1.0 200 OK\r\n\r\n", http1::Exchange()), "200");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", {.head = true}), "200 content-length=9 |");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", http1::Exchange()), "204 |");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 100 Continue\r\n\r\n", http1::Exchange()), "100");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", {.connect = true}), "200");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 101 Ok\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n"
                        "Sec-WebSocket-Protocol: p\r\n\r\n",
                        {.upgrade = true}),
              "200 sec-websocket-protocol=p");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", {.upgrade = true}), "403 content-length=0 |");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", {.upgrade = true}), "upgrade_ignored");
  CHECK_EQUAL(FromHttp1("HTTP/1.1 204 No\r\n\r\n", {.upgrade = true}), "upgrade_ignored");
}

TEST("HTTP/2 and HTTP/1.1: what goes there and back is the same") {
  for (const Head& request :
       {Request("GET", "/a?b=c"), Request("POST", "/", false),
        With(Request("PUT", "/", false), {{"content-length", "3"}}),
        With(Request("POST", "/s/m", false),
             {{"content-type", "application/grpc"}, {"te", "trailers"}, {"grpc-timeout", "1S"}})}) {
    std::string text;
    http1::Head middle;
    Head back;
    CHECK(RequestToHttp1(request, "", text, middle) == Error::kNone);
    CHECK(RequestFromHttp1(middle, {}, {}, back) == Error::kNone);
    Head normal = request;
    if (const Field* te = request.Find("te")) {
      normal.fields.erase(normal.fields.begin() + (te - request.fields.data()));
      normal.Add("te", "trailers");
    }
    CHECK_EQUAL(Show(back), Show(normal));
  }
  std::string text;
  http1::Head middle;
  Head back;
  CHECK(TrailersToHttp1(With(Head(), {{"grpc-status", "0"}}), text, middle) == Error::kNone);
  CHECK(TrailersFromHttp1(middle, {}, back) == Error::kNone);
  CHECK_EQUAL(Show(back), "grpc-status=0 |");
  CHECK(TrailersToHttp1(With(Head(), {{"content-length", "0"}}), text, middle) == Error::kTrailerForbidden);
}

TEST("WebSocket keys: the example of RFC 6455") {
  CHECK_EQUAL(WebSocketAccept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const unsigned char random[16] = {'t', 'h', 'e', ' ', 's', 'a', 'm', 'p', 'l', 'e', ' ', 'n', 'o', 'n', 'c', 'e'};
  CHECK_EQUAL(WebSocketKey(random), "dGhlIHNhbXBsZSBub25jZQ==");
}

TEST("gRPC: deadlines, status, content types") {
  const auto timeout = [](std::string_view text) { return ParseGrpcTimeout(text).value_or(-1); };
  CHECK_EQUAL(timeout("1H"), 3'600'000'000);
  CHECK_EQUAL(timeout("2M"), 120'000'000);
  CHECK_EQUAL(timeout("3S"), 3'000'000);
  CHECK_EQUAL(timeout("4m"), 4000);
  CHECK_EQUAL(timeout("5u"), 5);
  CHECK_EQUAL(timeout("6000n"), 6);
  CHECK_EQUAL(timeout("1n"), 1);
  CHECK_EQUAL(timeout("0n"), 0);
  CHECK_EQUAL(timeout("99999999H"), 359'999'996'400'000'000);
  for (const char* bad :
       {"", "S", "1", "1s", "1h", "-1S", "+1S", "1.5S", " 1S", "1 S", "1S ", "100000000S", "1SS", "0x1S"}) {
    CHECK(!ParseGrpcTimeout(bad));
  }
  CHECK_EQUAL(ParseGrpcStatus("0"), 0u);
  CHECK_EQUAL(ParseGrpcStatus("16"), 16u);
  for (const char* bad : {"", "17", "-1", "x", "1 ", "4294967296", "99999999999999999999"}) {
    CHECK_EQUAL(ParseGrpcStatus(bad), kGrpcUnknown);
  }
  CHECK_EQUAL(GrpcStatusOf(With(Head(), {{"grpc-status", "5"}})), 5u);
  CHECK_EQUAL(GrpcStatusOf(Head()), kNoGrpcStatus);
  http1::Head trailers;
  std::string text;
  CHECK(TrailersToHttp1(With(Head(), {{"grpc-status", "7"}}), text, trailers) == Error::kNone);
  CHECK_EQUAL(GrpcStatusOf(trailers), 7u);
  for (const char* grpc : {"application/grpc", "application/grpc+proto", "Application/GRPC; charset=utf-8"}) {
    CHECK(IsGrpc(grpc));
  }
  for (const char* other : {"", "application/grp", "application/grpc-web", "application/grpcx", "text/plain"}) {
    CHECK(!IsGrpc(other));
  }
}

}  // namespace
}  // namespace weft::test
