// What is forwarded: heads with edits, bodies; and that what is written is read as it was meant.
#include <random>

#include "../core/http1/writer.h"
#include "check.h"
#include "http1_transcript.h"

namespace weft::test {
namespace {

using namespace core::http1;

Written Forward(const std::string& request, const RequestEdits& edits, std::string& out) {
  Head head;
  const Limits limits;
  RequestReader reader(limits, head);
  std::string_view input = request;
  if (reader.Read(input) != Event::kHead) throw std::runtime_error("refused: " + request);
  return WriteRequest(reader.head(), edits, out);
}

Written Answer(const std::string& response, Exchange exchange, const ResponseEdits& edits, std::string& out) {
  Head head;
  const Limits limits;
  ResponseReader reader(limits, head);
  reader.Expect(exchange);
  std::string_view input = response;
  if (reader.Read(input) != Event::kHead) throw std::runtime_error("refused: " + response);
  return WriteResponse(reader.head(), edits, out);
}

void CheckRequest(const std::string& request, const std::string& expected, const RequestEdits& edits = {}) {
  std::string out = "before";
  CHECK_EQUAL(Name(Forward(request, edits, out).error), "none");
  CHECK_EQUAL(out, "before" + expected);
}

// Returns how its body must be written.
Written CheckResponse(const std::string& response, const std::string& expected, Exchange exchange = {},
                      const ResponseEdits& edits = {}) {
  std::string out;
  const Written written = Answer(response, exchange, edits, out);
  CHECK_EQUAL(Name(written.error), "none");
  CHECK_EQUAL(out, expected);
  return written;
}

TEST("HTTP/1.1 forwarding: what is not of the connection keeps its bytes and its order") {
  CheckRequest(
      "GET /a?b HTTP/1.1\r\nhOsT:  a \r\nX-One:1\r\nx-one: \t 2\r\nAccept: \xc3\xa4\r\nEmpty:\r\nTrailer: Sum\r\n"
      "Expect: 100-continue\r\nContent-Length: 3\r\nProxy-Authorization: x\r\nVia: 1.1 other\r\n\r\n",
      "GET /a?b HTTP/1.1\r\nhOsT:  a \r\nX-One:1\r\nx-one: \t 2\r\nAccept: \xc3\xa4\r\nEmpty:\r\nTrailer: Sum\r\n"
      "Expect: 100-continue\r\nContent-Length: 3\r\nProxy-Authorization: x\r\nVia: 1.1 other\r\n\r\n");
}

TEST("HTTP/1.1 forwarding: what is of the connection goes, with all that Connection names") {
  CheckRequest(
      "GET / HTTP/1.1\r\nConnection: Keep-Alive, X-Hop ,close\r\nHost: a\r\nx-hop: 1\r\nKeep-Alive: timeout=5\r\nB: "
      "2\r\n"
      "Proxy-Connection: keep-alive\r\nTE: trailers, gzip\r\nX-HOP: 3\r\nUpgrade: websocket\r\nconnection: d\r\nC: "
      "3\r\n"
      "D: 4\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nB: 2\r\nC: 3\r\n\r\n");
  CheckRequest("GET / HTTP/1.1\r\nHost: a\r\nTE: gzip;q=1, Trailers\r\nConnection: te\r\n\r\n",
               "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
  CheckRequest("GET / HTTP/1.1\r\nHost: a\r\nTrailer: x\r\nExpect: y\r\nConnection: trailer, expect\r\n\r\n",
               "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CheckRequest("PUT / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:CHUNKED \r\nB: 1\r\n\r\n",
               "PUT / HTTP/1.1\r\nHost: a\r\nB: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST("HTTP/1.1 forwarding: upgrades, if they are allowed") {
  const std::string request =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, te\r\nUpgrade:  websocket\r\nTE: trailers\r\nKey: 1\r\n\r\n";
  CheckRequest(
      request,
      "GET / HTTP/1.1\r\nHost: a\r\nKey: 1\r\nUpgrade:  websocket\r\nTE: trailers\r\nConnection: Upgrade, TE\r\n"
      "\r\n");
  CheckRequest(request, "GET / HTTP/1.1\r\nHost: a\r\nKey: 1\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
               {.allow_upgrade = false});
  CheckRequest(
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
      "HTTP2-Settings: AA\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
}

TEST("HTTP/1.1 forwarding: Host and targets (RFC 9112, 3.2.2)") {
  CheckRequest("GET http://b:80/x?y HTTP/1.1\r\nA: 1\r\nhost: a\r\nC: 2\r\n\r\n",
               "GET http://b:80/x?y HTTP/1.1\r\nA: 1\r\nhost: b:80\r\nC: 2\r\n\r\n");
  CheckRequest("GET http://b/x HTTP/1.1\r\nHost:b\r\n\r\n", "GET http://b/x HTTP/1.1\r\nHost:b\r\n\r\n");
  CheckRequest("GET http://b/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "GET /x?y HTTP/1.1\r\nHost: b\r\n\r\n",
               {.origin_form = true});
  CheckRequest("GET http://b?y HTTP/1.1\r\nHost: b\r\n\r\n", "GET /?y HTTP/1.1\r\nHost: b\r\n\r\n",
               {.origin_form = true});
  CheckRequest("GET http://b HTTP/1.1\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: b\r\n\r\n", {.origin_form = true});
  CheckRequest("OPTIONS http://b HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n",
               {.origin_form = true});
  CheckRequest("OPTIONS * HTTP/1.1\r\nHost: b\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: c\r\n\r\n", {.authority = "c"});
  CheckRequest("GET /x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /z HTTP/1.1\r\nHost: c:1\r\n\r\n",
               {.path = "/z", .authority = "c:1"});
  CheckRequest("GET HTTP://b/x HTTP/1.1\r\nHost: a\r\n\r\n", "GET HTTP://c/z HTTP/1.1\r\nHost: c\r\n\r\n",
               {.path = "/z", .authority = "c"});
  CheckRequest("CONNECT b:443 HTTP/1.1\r\nHost: a\r\n\r\n", "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n");
  CheckRequest("GET / HTTP/1.0\r\nA: 1\r\n\r\n", "GET / HTTP/1.1\r\nHost: d\r\nA: 1\r\n\r\n", {.authority = "d"});
  CheckRequest("PUT / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
               "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
  CheckRequest("GET http://b/ HTTP/1.0\r\n\r\n", "GET http://b/ HTTP/1.1\r\nHost: b\r\n\r\n");
}

TEST("HTTP/1.1 forwarding: fields are removed, set and added") {
  const std::string_view remove[] = {"L5D-Client-Id", "gone"};
  const NewField set[] = {{"X-Set", "new"}, {"X-More", ""}};
  const NewField add[] = {{"X-Add", "2"}};
  CheckRequest("GET / HTTP/1.1\r\nHost: a\r\nl5d-client-id: me\r\nx-set: 1\r\nX-Add: 1\r\nGone: 1\r\nX-Set: 2\r\n\r\n",
               "GET / HTTP/1.1\r\nHost: a\r\nX-Add: 1\r\nX-Set: new\r\nX-More: \r\nX-Add: 2\r\n\r\n",
               {.fields = {.remove = remove, .set = set, .add = add}});
}

TEST("HTTP/1.1 forwarding: edits that would not be fields, or touch framing, are refused, and nothing is written") {
  const auto refuses = [](const RequestEdits& edits, const std::string& request) {
    std::string out = "as it was";
    CHECK_EQUAL(Name(Forward(request, edits, out).error), "edit_invalid");
    CHECK_EQUAL(out, "as it was");
  };
  const std::string request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const NewField bad[] = {
      {"", "a"},          {"a b", "c"},    {"a:", "b"},         {"a", "b\r\nc: d"},      {"a", "b\n"},
      {"a", " b"},        {"a", "b\t"},    {"a\r", "b"},        {"a", {"\0", 1}},        {"Host", "b"},
      {"TE", "trailers"}, {"upgrade", ""}, {"Connection", "a"}, {"content-length", "5"}, {"Transfer-Encoding", "x"},
  };
  for (const NewField& field : bad) {
    refuses({.fields = {.set = {&field, 1}}}, request);
    refuses({.fields = {.add = {&field, 1}}}, request);
  }
  for (const std::string_view name : {"host", "Content-Length", "transfer-encoding", "connection"}) {
    refuses({.fields = {.remove = {&name, 1}}}, request);
  }
  for (const char* path : {"a", "/a b", "/a\r\nb", "*", "http://b/", "/#", "?a"}) refuses({.path = path}, request);
  for (const char* authority : {"a b", "a/b", "a@b", "a\r\n", ":1", "a:b"}) refuses({.authority = authority}, request);
  refuses({.path = "/"}, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
  refuses({.path = "/"}, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
  refuses({.authority = "b"}, "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
  refuses({}, "GET / HTTP/1.0\r\n\r\n");  // no Host, and none given
  std::string out;
  const NewField length[] = {{"Content-Length", "5"}};
  CHECK_EQUAL(Name(Answer("HTTP/1.1 200 OK\r\n\r\n", {}, {.fields = {.set = length}}, out).error), "edit_invalid");
  const NewField expect[] = {{"Expect", "a"}};
  CHECK_EQUAL(Name(WriteLastChunk(nullptr, {.add = expect}, out)), "edit_invalid");
  CHECK_EQUAL(out, "");
}

TEST("HTTP/1.1 forwarding: responses, to clients of either version") {
  const std::string chunked = "HTTP/1.1 200 OK\r\nA:1\r\nTransfer-Encoding: chunked\r\nConnection: b\r\nb: 1\r\n\r\n";
  Written written = CheckResponse(chunked, "HTTP/1.1 200 OK\r\nA:1\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(written.body == Body::kChunked && !written.close);
  written = CheckResponse(chunked, "HTTP/1.1 200 OK\r\nA:1\r\nConnection: close\r\n\r\n", {}, {.to_http10 = true});
  CHECK(written.body == Body::kUntilClose && written.close);
  const std::string until_close = "HTTP/1.0 200\r\nConnection: close\r\nServer: x\r\n\r\n";
  written = CheckResponse(until_close, "HTTP/1.1 200 \r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK(written.body == Body::kChunked && !written.close);
  written =
      CheckResponse(until_close, "HTTP/1.1 200 \r\nServer: x\r\nConnection: close\r\n\r\n", {}, {.to_http10 = true});
  CHECK(written.body == Body::kUntilClose && written.close);
  const std::string length = "HTTP/1.1 206 Partial \r\nContent-Length: 5\r\nKeep-Alive: max=3\r\n\r\n";
  written = CheckResponse(length, "HTTP/1.1 206 Partial \r\nContent-Length: 5\r\n\r\n");
  CHECK(written.body == Body::kLength && !written.close);
  CheckResponse(length, "HTTP/1.1 206 Partial \r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", {},
                {.to_http10 = true});
  written = CheckResponse(length, "HTTP/1.1 206 Partial \r\nContent-Length: 5\r\nConnection: close\r\n\r\n", {},
                          {.to_http10 = true, .close = true});
  CHECK(written.close);
}

TEST("HTTP/1.1 forwarding: responses without a body say no more than they may") {
  const auto bodiless = [](const std::string& response, const std::string& expected, Exchange exchange = {},
                           const ResponseEdits& edits = {}) {
    const Written written = CheckResponse(response, expected, exchange, edits);
    CHECK(written.body == Body::kNone);
  };
  bodiless("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
           {.head = true});
  bodiless("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", {.head = true});
  bodiless("HTTP/1.1 304 \r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 304 \r\nConnection: keep-alive\r\n\r\n", {},
           {.to_http10 = true});
  bodiless("HTTP/1.1 204 \r\nContent-Length: 0\r\nA: 1\r\n\r\n", "HTTP/1.1 204 \r\nA: 1\r\n\r\n");
  bodiless("HTTP/1.1 204 \r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 204 \r\n\r\n");
  bodiless("HTTP/1.1 103 Early Hints\r\nLink: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", {}, {.close = true});
}

TEST("HTTP/1.1 forwarding: responses that switch, and advertise") {
  Written written =
      CheckResponse("HTTP/1.1 101 S\r\nA: 1\r\nconnection: Upgrade, x\r\nX: 1\r\nUPGRADE: websocket\r\n\r\n",
                    "HTTP/1.1 101 S\r\nA: 1\r\nUPGRADE: websocket\r\nConnection: Upgrade\r\n\r\n", {.upgrade = true},
                    {.close = true});
  CHECK(written.body == Body::kTunnel && !written.close);
  written = CheckResponse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
                          {.connect = true}, {.close = true});
  CHECK(written.body == Body::kTunnel && !written.close);
  CheckResponse(
      "HTTP/1.1 426 Upgrade Required\r\nUpgrade: a/1\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
      "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: a/1\r\nConnection: close, Upgrade\r\n\r\n", {},
      {.close = true});
  CheckResponse("HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n",
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
}

TEST("HTTP/1.1 forwarding: chunks and trailers") {
  CHECK_EQUAL(ChunkHead(0x1).text(), "1\r\n");
  CHECK_EQUAL(ChunkHead(0xabcdef).text(), "abcdef\r\n");
  CHECK_EQUAL(ChunkHead(UINT64_MAX).text(), "ffffffffffffffff\r\n");
  std::string out;
  CHECK_EQUAL(Name(WriteLastChunk(nullptr, {}, out)), "none");
  CHECK_EQUAL(out, "0\r\n\r\n");

  Head head;
  const Limits limits;
  RequestReader reader(limits, head);
  std::string_view input =
      "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA:1\r\nl5d-x: 1\r\nB:  2\r\n\r\n";
  CHECK(reader.Read(input) == Event::kHead && reader.Read(input) == Event::kEnd);
  const std::string_view remove[] = {"L5d-X"};
  const NewField add[] = {{"C", "3"}};
  out.clear();
  CHECK_EQUAL(Name(WriteLastChunk(&reader.trailers(), {.remove = remove, .add = add}, out)), "none");
  CHECK_EQUAL(out, "0\r\nA:1\r\nB:  2\r\nC: 3\r\n\r\n");
}

// A message made at random, and what a reader must say of it.
class Maker {
 public:
  explicit Maker(unsigned seed) : random_(seed) {}

  size_t Below(size_t bound) { return std::uniform_int_distribution<size_t>(0, bound - 1)(random_); }
  std::string Word(std::string_view alphabet, size_t most) {
    std::string word(1 + Below(most), ' ');
    for (char& character : word) character = alphabet[Below(alphabet.size())];
    return word;
  }
  std::string Token() { return Word("abcXYZ019!#$%&'*+-.^_`|~", 12); }
  std::string Value() { return Below(5) == 0 ? "" : Word("ab,;=\"\\()/\x80\xff", 30); }

  // The text, and appends to the transcript.
  std::string Request(std::string& says) {
    const std::string method = Below(3) == 0 ? Token() : "POST";
    const std::string path = "/" + Word("ab/?&=%{}\x80", 20);
    const bool absolute = Below(4) == 0;
    const std::string host = Word("ab-.", 8) + (Below(2) == 0 ? ":80" : "");
    const std::string target = (absolute ? "http://" + host : "") + path;
    const int body_kind = static_cast<int>(Below(3));
    std::string body = body_kind == 0 ? "" : Word("\r\n 0aZ", 60);
    std::string fields, described;
    const auto field = [&](const std::string& name, const std::string& value) {
      fields += name + ":" + Word(" \t", 3) + value + Word(" \t", 3) + "\r\n";
      described += "field " + name + "=" + value + "\n";
    };
    field("Host", host);
    for (size_t i = Below(6); i > 0; i--) field("x" + Token(), Value());
    if (body_kind == 1) field("Content-Length", std::to_string(body.size()));
    std::string content = body, trailers;
    if (body_kind == 2) {
      field("Transfer-Encoding", "chunked");
      content = Chunks(body);
      for (size_t i = Below(3); i > 0; i--) {
        const std::string name = "t" + Token(), value = Value();
        content += name + ": " + value + "\r\n";
        trailers += "trailer " + name + "=" + value + "\n";
      }
      content += "\r\n";
    }
    says += "request " + method + " " + target + " for " + host + ", body " +
            (body_kind == 1   ? "length " + std::to_string(body.size())
             : body_kind == 2 ? "chunked"
                              : "none") +
            ", persistent\n" + described + (body.empty() ? "" : "body " + body + "\n") + trailers + "end\n";
    return method + " " + target + " HTTP/1.1\r\n" + fields + "\r\n" + content;
  }

 private:
  std::string Chunks(std::string_view body) {
    std::string out;
    while (!body.empty()) {
      const size_t size = 1 + Below(body.size());
      out += ChunkHead(size).text().substr(0, ChunkHead(size).text().size() - 2);
      if (Below(3) == 0) out += " ;" + Word("ab", 3) + "=\"\\\"" + Word("ab ;", 3) + "\"";
      out += "\r\n" + std::string(body.substr(0, size)) + "\r\n";
      body.remove_prefix(size);
    }
    return out + "0\r\n";
  }

  std::mt19937 random_;
};

TEST("HTTP/1.1 property: what is written is read, in any splits; forwarding it once more changes nothing") {
  for (unsigned seed = 0; seed < 300; seed++) {
    Maker maker(seed);
    std::string says, bytes;
    for (size_t i = 1 + maker.Below(3); i > 0; i--) bytes += maker.Request(says);
    std::vector<std::string> forwarded;
    const auto forward = [&](const Head& head) {
      std::string once, twice;
      CHECK_EQUAL(Name(WriteRequest(head, {}, once).error), "none");
      CHECK_EQUAL(Name(Forward(once, {}, twice).error), "none");
      CHECK_EQUAL(twice, once);
      // Nothing here is of the connection but Transfer-Encoding, whose place changes.
      if (!head.chunked) forwarded.push_back(once);
    };
    const auto split = [&](size_t left) { return 1 + maker.Below(left); };
    CHECK_EQUAL(ReadRequests(bytes, split, {}, true, true, forward).text, says + "closed\n");
    CHECK_EQUAL(ReadRequests(bytes, Whole).text, says + "closed\n");
    for (const std::string& head : forwarded) CHECK(bytes.find(head) != std::string::npos);
  }
}

}  // namespace
}  // namespace weft::test
