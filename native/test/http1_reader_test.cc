// What is accepted, and what it means.
#include "check.h"
#include "http1_transcript.h"

namespace weft::test {
namespace {

using core::http1::Exchange;
using core::http1::Limits;

void CheckRequests(std::string_view bytes, std::string_view expected, bool grants = true) {
  const Transcript transcript =
      ReadInAllSplits(bytes, [&](const Split& split) { return ReadRequests(bytes, split, {}, grants); });
  CHECK_EQUAL(transcript.text, expected);
}

void CheckResponse(std::string_view bytes, std::string_view expected, Exchange exchange = {}) {
  const Transcript transcript =
      ReadInAllSplits(bytes, [&](const Split& split) { return ReadResponse(bytes, split, exchange); });
  CHECK_EQUAL(transcript.text, expected);
}

TEST("HTTP/1.1 requests: pipelined, with every kind of body, until one closes") {
  CheckRequests(
      "GET /a?b HTTP/1.1\r\nHost: shop\r\n\r\n"
      "POST /b HTTP/1.1\r\nhost:shop:80\r\nContent-Length: 5\r\n\r\nhello"
      "\r\nPUT /c HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: Chunked\r\nTE: trailers\r\nConnection: TE\r\n\r\n"
      "3\r\nabc\r\n0A;name=value\r\n0123456789\r\n000\r\nSum: 1\r\nEmpty:\r\n\r\n"
      "DELETE /d HTTP/1.1\r\nHost: shop\r\nConnection: close\r\nExpect: 100-Continue\r\nContent-Length: 0\r\n\r\nmore",
      "request GET /a?b for shop, body none, persistent\nfield Host=shop\nend\n"
      "request POST /b for shop:80, body length 5, persistent\nfield host=shop:80\nfield Content-Length=5\nbody hello\n"
      "end\n"
      "request PUT /c for shop, body chunked, persistent, takes trailers\nfield Host=shop\n"
      "field Transfer-Encoding=Chunked\nfield TE=trailers\nfield Connection=TE\nbody abc0123456789\n"
      "trailer Sum=1\ntrailer Empty=\nend\n"
      "request DELETE /d for shop, body none, expects continue\nfield Host=shop\nfield Connection=close\n"
      "field Expect=100-Continue\nfield Content-Length=0\nend\nover\nclosed\n");
}

TEST("HTTP/1.0 requests: without Host, one for each connection unless kept alive") {
  CheckRequests("GET / HTTP/1.0\r\n\r\n", "request GET / for , 1.0, body none\nend\nover\nclosed\n");
  CheckRequests("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\nGET /2 HTTP/1.0\r\n\r\n",
                "request GET / for , 1.0, body none, persistent\nfield Connection=Keep-Alive\nend\n"
                "request GET /2 for , 1.0, body none\nend\nover\nclosed\n");
  CheckRequests("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\nExpect: 100-continue\r\n\r\n",
                "request GET / for , 1.0, body none\nfield Connection=keep-alive, close\n"
                "field Expect=100-continue\nend\nover\nclosed\n");
}

TEST("Targets: all forms, and who is asked") {
  const auto check = [](const std::string& line, const std::string& authority) {
    const std::string target = line.substr(line.find(' ') + 1);
    CheckRequests(line + " HTTP/1.1\r\nHost: other\r\n\r\n",
                  "request " + line + " for " + authority + ", body none, persistent\nfield Host=other\nend\nclosed\n");
  };
  check("GET http://shop:8080/a?b", "shop:8080");
  check("GET HTTPS://shop?b", "shop");
  check("OPTIONS http://[fd00::1]:80", "[fd00::1]:80");
  check("OPTIONS *", "other");
  check("GET /a{b}|c\"<d>\\^`\xc3\xa4%zz", "other");
  check("GET //double", "other");
  check("M-SEARCH!#$%&'*+-.^_`|~09 /", "other");
}

TEST("CONNECT and Upgrade: tunnels if granted; else requests, but not after CONNECT") {
  const std::string connect = "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n";
  const std::string connect_says =
      "request CONNECT db:5432 for db:5432, body none, persistent\nfield Host=db:5432\nend\nheld\n";
  CheckRequests(connect + "bytes", connect_says + "tunnel\nbytesclosed\n");
  CheckRequests(connect, connect_says + "closed\n", false);
  CheckRequests(connect + "GET / HTTP/1.1\r\n", connect_says + "error bytes_after_connect\n", false);

  const std::string upgrade =
      "GET /chat HTTP/1.1\r\nHost: shop\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const std::string upgrade_says =
      "request GET /chat for shop, body none, persistent, upgrade\nfield Host=shop\n"
      "field Connection=keep-alive, Upgrade\nfield Upgrade=websocket\nend\nheld\n";
  CheckRequests(upgrade + "bytes", upgrade_says + "tunnel\nbytesclosed\n");
  CheckRequests(upgrade + "GET /2 HTTP/1.1\r\nHost: shop\r\n\r\n",
                upgrade_says + "request GET /2 for shop, body none, persistent\nfield Host=shop\nend\nclosed\n", false);
}

TEST("Upgrade is ignored without Connection, in HTTP/1.0 and to HTTP/2") {
  const auto check = [](const std::string& head) {
    CHECK(ReadRequests("GET / " + head + "\r\n", Whole).text.find(", upgrade") == std::string::npos);
    CHECK(ReadRequests("GET / " + head + "\r\n", Whole).text.ends_with("end\nclosed\n"));
  };
  check("HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\n");
  check("HTTP/1.1\r\nHost: shop\r\nConnection: upgrade\r\n");
  check("HTTP/1.0\r\nConnection: upgrade, keep-alive\r\nUpgrade: websocket\r\n");
  check("HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n");
  check("HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket, HTTP/2.0\r\n");
}

TEST("HTTP/1.1 responses: every kind of body, and what follows") {
  CheckResponse("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                "response 200 OK, body length 2, persistent\nfield Content-Length=2\nbody hi\nend\nclosed\n");
  CheckResponse("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSum: 1\r\n\r\n",
                "response 200, body chunked, persistent\nfield Transfer-Encoding=chunked\nbody hi\ntrailer Sum=1\nend\n"
                "closed\n");
  CheckResponse("HTTP/1.1 404 Not \x80 Found\r\n\r\nuntil the end",
                "response 404 Not \x80 Found, body until close\nbody until the end\nend\nclosed\n");
  CheckResponse("HTTP/1.0 200 \r\nContent-Length: 1\r\n\r\nabc",
                "response 200 , 1.0, body length 1\nfield Content-Length=1\nbody a\nend\nover\nclosed\n");
  CheckResponse("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
                "response 200 OK, body length 1, persistent\nfield Content-Length=1\nbody a\nend\n"
                "error unexpected_response\n");
}

TEST("HTTP/1.1 responses without a body: HEAD, 204, 304, interim ones") {
  CheckResponse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
                "response 200 OK, body none, persistent\nfield Content-Length=5\nend\nclosed\n", {.head = true});
  CheckResponse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "response 200 OK, body none, persistent\nfield Transfer-Encoding=chunked\nend\nclosed\n",
                {.head = true});
  CheckResponse("HTTP/1.1 204 No Content\r\n\r\n", "response 204 No Content, body none, persistent\nend\nclosed\n");
  CheckResponse("HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
                "response 304 Not Modified, body none, persistent\nfield Content-Length=9\nend\nclosed\n");
  CheckResponse(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\n\r\n"
      "HTTP/1.1 204 \r\n\r\n",
      "response 100 Continue, body none, persistent\nend\n"
      "response 103 Early Hints, body none\nfield Link=</a>\nfield Connection=close\nend\n"
      "response 204 , body none, persistent\nend\nclosed\n");
  // What the server announced may come: nothing more is read as a response.
  CheckResponse("HTTP/1.1 204 \r\nContent-Length: 5\r\n\r\nhello",
                "response 204 , body none\nfield Content-Length=5\nend\nover\nclosed\n");
}

TEST("HTTP/1.1 responses that switch: 101 and 2xx to CONNECT") {
  const std::string head = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n";
  CheckResponse(head + "bytes",
                "response 101 Switching, body tunnel, upgrade\nfield Upgrade=websocket\nfield Connection=upgrade\n"
                "tunnel\nbytesclosed\n",
                {.upgrade = true});
  CheckResponse("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbytes",
                "response 200 OK, body tunnel\nfield Content-Length=3\ntunnel\nbytesclosed\n", {.connect = true});
  CheckResponse("HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\nabc",
                "response 407 No, body length 3, persistent\nfield Content-Length=3\nbody abc\nend\nclosed\n",
                {.connect = true});
}

TEST("HTTP/1.1 readers: exchange after exchange on a connection") {
  core::http1::Head head;
  const Limits limits;
  core::http1::ResponseReader reader(limits, head);
  for (int i = 0; i < 3; i++) {
    CHECK(reader.ready());
    reader.Expect({.head = i == 1});
    CHECK(!reader.ready());
    std::string_view input =
        i == 1 ? "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    CHECK(reader.Read(input) == core::http1::Event::kHead);
    CHECK(i == 1 || reader.Read(input) == core::http1::Event::kBody);
    CHECK(reader.Read(input) == core::http1::Event::kEnd);
    CHECK(reader.Read(input) == core::http1::Event::kNeedMore);
  }
}

TEST("HTTP/1.1 readers are small, and bounds hold exactly") {
  CHECK(sizeof(core::http1::RequestReader) <= 160);
  CHECK(sizeof(core::http1::ResponseReader) <= 160);
  const Limits limits{.max_head = 64, .max_fields = 2, .max_trailers = 16, .max_chunk_line = 8};
  const auto read = [&](const std::string& bytes) {
    return ReadInAllSplits(bytes, [&](const Split& split) { return ReadRequests(bytes, split, limits); }).error;
  };
  using core::http1::Error;
  const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nA: ";  // 28 bytes, and 4 behind
  CHECK_EQUAL(Name(read(head + std::string(32, 'a') + "\r\n\r\n")), "none");
  CHECK_EQUAL(Name(read(head + std::string(33, 'a') + "\r\n\r\n")), "head_too_large");
  CHECK_EQUAL(Name(read(head + "\r\nB: \r\n\r\n")), "too_many_fields");
  CHECK_EQUAL(Name(read("GET /" + std::string(100, 'a'))), "target_too_long");
  const std::string chunked = "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
  CHECK_EQUAL(Name(read(chunked + "1;abcd\r\na\r\n0\r\n\r\n")), "none");
  CHECK_EQUAL(Name(read(chunked + "1;abcde\r\na\r\n0\r\n\r\n")), "chunk_line_too_long");
  CHECK_EQUAL(Name(read(chunked + "0\r\nA: 2345678901\r\n\r\n")), "trailers_too_large");
  CHECK_EQUAL(Name(read(chunked + "0\r\nA: 234567890\r\n\r\n")), "none");
  CHECK_EQUAL(Name(read(chunked + "0\r\nA:\r\nB:\r\nC:\r\n\r\n")), "too_many_fields");
}

}  // namespace
}  // namespace weft::test
