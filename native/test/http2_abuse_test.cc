// Peers that cost more than they bring: each has its bound and its answer. And those that are busy, and have none.
#include "check.h"
#include "http2_frames.h"
#include "http2_peers.h"
#include "memory.h"

namespace weft::test {
namespace {

using namespace http2;

constexpr size_t kPiece = 4096;

std::string Repeat(const std::string& text, size_t times) {
  std::string repeated;
  for (size_t i = 0; i < times; i++) repeated += text;
  return repeated;
}

// Shows `make(i)` for each i, as streams 1, 3, 5 and so on.
template <typename Make>
std::string Each(uint32_t times, Make make) {
  std::string bytes;
  for (uint32_t i = 0; i < times; i++) bytes += make(2 * i + 1);
  return bytes;
}

struct Played {
  std::string reaction, log;
  bool failed = false, over = false;
  ErrorCode error = ErrorCode::kNoError;
  size_t unread = 0;  // bytes, when it failed
};

// What a client sends within one instant, and what it would read meanwhile.
class Server {
 public:
  explicit Server(const Limits& limits = {}) : session_(limits, recorder) {
    recorder.session = &session_;
    recorder.on_end = [this](Stream& stream) { session_.Respond(stream, Response(204)); };
    recorder.on_refused = [this](Stream& stream) { session_.Respond(stream, Response(431)); };
  }

  Played Play(const std::string& bytes, bool reads = true, int64_t now_us = 1) {
    const std::string all = (greeted_ ? "" : kPreface + Settings()) + bytes;
    greeted_ = true;
    Played played;
    for (size_t at = 0; at < all.size() && !played.failed && !played.over; at += kPiece) {
      played.failed = !session_.Receive(Bytes(std::string_view(all).substr(at, kPiece)), now_us);
      if (reads || played.failed) Drain();
      played.over = session_.over();
      played.unread = all.size() - std::min(all.size(), at + kPiece);
    }
    Drain();
    played.reaction = Reaction(sent_);
    sent_.clear();
    played.log = recorder.TakeLog();
    played.over = session_.over();
    played.error = session_.error();
    return played;
  }

  ServerSession& session() { return session_; }
  Recorder recorder;

 private:
  void Drain() {
    std::string bytes(65536, '\0');
    while (const size_t size = session_.Output(std::as_writable_bytes(std::span(bytes)))) sent_.append(bytes, 0, size);
  }

  ServerSession session_;
  std::string sent_;
  bool greeted_ = false;
};

struct Abuse {
  const char* name;
  std::string bytes;
  bool reads = true;  // what we answer
};

TEST("HTTP/2 abuse: each kind ends the connection with ENHANCE_YOUR_CALM") {
  const std::string get = Block(Get());
  const std::string post = Headers(1, Get(), false);
  const std::string fat = IndexedLine("x", std::string(4000, 'x'));
  const std::vector<Abuse> abuses = {
      {"rapid reset (CVE-2023-44487)", Each(2000, [&](uint32_t id) { return Headers(id, get) + Reset(id); })},
      {"rapid reset with bodies to come", Each(2000, [&](uint32_t id) { return Headers(id, get, false) + Reset(id); })},
      {"resets that we are made to send: malformed heads", Each(2000,
                                                                [&](uint32_t id) {
                                                                  return Headers(id, Get({{"Upper", "x"}}));
                                                                })},
      {"resets that we are made to send: window overflow (CVE-2025-8671)",
       Each(2000,
            [&](uint32_t id) {
              return Headers(id, get, false) + Frame(Type::kWindowUpdate, 0, id, Number(0x7fffffff));
            })},
      {"resets that we are made to send: too much body",
       Each(2000,
            [&](uint32_t id) {
              return Headers(id, Get({{"content-length", "1"}}), false) + Frame(Type::kData, 0, id, "xx");
            })},
      {"streams beyond the limit", Each(4000, [&](uint32_t id) { return Headers(id, get, false); })},
      {"streams beyond the limit, answers not read", Each(4000, [&](uint32_t id) { return Headers(id, get, false); }),
       false},
      {"CONTINUATION flood", Frame(Type::kHeaders, 0, 1, get) + Repeat(Frame(Type::kContinuation, 0, 1), 100)},
      {"CONTINUATION flood with fields",
       Frame(Type::kHeaders, 0, 1, get) + Repeat(Frame(Type::kContinuation, 0, 1, Line("a", "b")), 100)},
      {"SETTINGS flood", Repeat(Settings(), 1000)},
      {"SETTINGS flood, answers not read", Repeat(Settings(), 1000), false},
      {"SETTINGS flood of table sizes", Repeat(Settings(Setting(1, 0) + Setting(1, 4096)), 1000)},
      {"PING flood", Repeat(Frame(Type::kPing, 0, 0, "12345678"), 20'000)},
      {"PING flood, answers not read", Repeat(Frame(Type::kPing, 0, 0, "12345678"), 20'000), false},
      {"empty DATA frames", post + Repeat(Frame(Type::kData, 0, 1), 2000)},
      {"DATA frames of padding only",
       post + Repeat(Frame(Type::kData, kPadded, 1, std::string(1, '\x08') + std::string(8, '\0')), 2000)},
      {"window updates of a connection", Repeat(Frame(Type::kWindowUpdate, 0, 0, Number(1)), 20'000)},
      {"window updates of a stream", post + Repeat(Frame(Type::kWindowUpdate, 0, 1, Number(1)), 20'000)},
      {"PRIORITY flood", Each(20'000, [](uint32_t id) { return Frame(Type::kPriority, 0, id, Number(0) + "x"); })},
      {"heads of streams that are forgotten",
       Each(20, [&](uint32_t id) { return Headers(id, get, false) + Reset(id); }) +
           Repeat(Headers(1, Lines{{"a", "b"}}, false), 20'000)},
      {"unknown frames", Repeat(Frame(Type::kUnknown, 0, 0), 20'000)},
      {"HPACK bomb: one large field, repeated",
       Headers(1, get + fat) + Frame(Type::kHeaders, kEndHeaders, 3, get + Repeat(Known(62), 5000))},
  };
  for (const Abuse& abuse : abuses) {
    try {
      Server server;
      const Played played = server.Play(abuse.bytes, abuse.reads);
      CHECK_EQUAL(played.reaction.substr(played.reaction.find("goaway")), "goaway enhance_your_calm\n");
      CHECK(played.error == ErrorCode::kEnhanceYourCalm);
      CHECK(played.over);
    } catch (const std::exception& error) {
      throw std::runtime_error(std::string(abuse.name) + "\n" + error.what());
    }
  }
}

TEST("HTTP/2 abuse: what goes on for as long as the rate is kept") {
  Server server;
  int64_t now_us = 1;
  uint32_t id = 1;
  const std::string get = Block(Get());
  for (int second = 0; second < 50; second++, now_us += 1'000'000) {
    std::string bytes = Repeat(Frame(Type::kPing, 0, 0, "12345678"), 5000) + Repeat(Settings(), 5);
    for (int i = 0; i < 90; i++, id += 2) bytes += Headers(id, get, false) + Reset(id);
    CHECK(!server.Play(bytes, true, now_us).failed);
  }
}

TEST("HTTP/2 abuse: a busy client's resets, PINGs and window updates are no flood") {
  Server server;
  const std::string get = Block(Get());
  const std::string beside = Frame(Type::kPing, 0, 0, "12345678") + Frame(Type::kWindowUpdate, 0, 0, Number(1));
  // Of three streams two are served.
  uint32_t id = 1;
  for (int round = 0; round < 5000; round++) {
    std::string bytes;
    for (int i = 0; i < 2; i++, id += 2) bytes += Headers(id, get) + beside;
    bytes += Headers(id, get, false) + beside + Reset(id);
    id += 2;
    CHECK(!server.Play(bytes).failed);
  }
}

TEST("HTTP/2 bounds: a head may come in 16 CONTINUATION frames, and these in any pieces") {
  const std::string begun = kPreface + Settings() + Frame(Type::kHeaders, kEndStream, 1, Block(Get()));
  const auto serve = [&](size_t frames, size_t step) {
    const std::string bytes = begun + Repeat(Frame(Type::kContinuation, 0, 1, Line("a", "b")), frames - 1) +
                              Frame(Type::kContinuation, kEndHeaders, 1);
    Recorder recorder;
    ServerSession session({}, recorder);
    recorder.session = &session;
    for (size_t at = 0; at < bytes.size(); at += step) {
      if (!session.Receive(Bytes(std::string_view(bytes).substr(at, step)), 1)) break;
    }
    return session.error();
  };
  for (const size_t step : {size_t{1}, size_t{7}, size_t{10'000}}) {
    CHECK(serve(16, step) == ErrorCode::kNoError);
    CHECK(serve(17, step) == ErrorCode::kEnhanceYourCalm);
  }
}

TEST("HTTP/2 bounds: heads that are too large are answered, and the connection goes on") {
  const std::string fat(40'000, 'x');
  const std::string get = Block(Get());
  const auto split = [&](uint32_t id, const std::string& block, bool ends = true) {
    std::string bytes = Frame(Type::kHeaders, ends ? kEndStream : 0, id, block.substr(0, 16384));
    size_t at = 16384;
    for (; at + 16384 < block.size(); at += 16384) bytes += Frame(Type::kContinuation, 0, id, block.substr(at, 16384));
    return bytes + Frame(Type::kContinuation, kEndHeaders, id, block.substr(at));
  };
  Lines many = Get();
  for (int i = 0; i < 101; i++) many.push_back({"x", "y"});
  Lines crumbs = Get();
  for (int i = 0; i < 300; i++) crumbs.push_back({"cookie", "a=b"});

  Server server;
  CHECK_EQUAL(server.Play(split(1, get + Line("a", fat) + Line("b", fat))).log, "1 refused head_too_large\n1 closed\n");
  CHECK_EQUAL(server.Play(Headers(3, many)).log, "3 refused too_many_fields\n3 closed\n");
  // What was dropped of a head is in the compression table nevertheless.
  const std::string remembered = IndexedLine("a-name", "a value");
  CHECK_EQUAL(server.Play(split(5, get + Line("a", fat) + Line("b", fat) + remembered)).reaction, "5 head\n");
  CHECK_EQUAL(server.Play(Headers(7, get + Known(62))).log,
              "7 head GET http weft.test / a-name=a value |\n7 end\n7 closed\n");
  // A body that follows is not shown, and ended once the answer has left.
  const Played played = server.Play(Headers(9, many, false) + Frame(Type::kData, 0, 9, "body"));
  CHECK_EQUAL(played.log, "9 refused too_many_fields\n9 closed\n");
  CHECK_EQUAL(played.reaction, "9 head\n9 reset no_error\n");
  // Crumbs of a cookie are one field; 64 KiB less what counts for each are fine.
  CHECK(server.Play(Headers(11, crumbs)).log.ends_with("11 end\n11 closed\n"));
  CHECK(server.Play(split(13, get + Line("a", std::string(64'000, 'x')))).log.ends_with("13 end\n13 closed\n"));
}

TEST("HTTP/2 bounds: a flood of header bytes holds no more than one head") {
  constexpr size_t kMost = 256 * 1024;
  const std::string get = Block(Get());
  const std::string fat = Line("x", std::string(16'000, 'x'));
  const std::string value = Number(0, 1) + Literal("x") + Integer(0, 7, 1 << 20);
  const std::string rest = Repeat(Frame(Type::kContinuation, 0, 1, std::string(16'384, 'x')), 15);
  const std::string heads = Each(200, [&](uint32_t id) {
    return Frame(Type::kHeaders, kEndStream, id, get) + Repeat(Frame(Type::kContinuation, 0, id, fat), 5) +
           Frame(Type::kContinuation, kEndHeaders, id, IndexedLine("y", std::to_string(id)));
  });
  for (const std::string& flood :
       {Frame(Type::kHeaders, kEndStream, 1, get) + Repeat(Frame(Type::kContinuation, 0, 1, fat), 15),
        Frame(Type::kHeaders, kEndStream, 1, get + value) + rest, heads}) {
    const size_t before = Held();
    Server server;
    server.Play(flood);
    if (kCountsMemory) CHECK(Held() < before + kMost);
  }
}

}  // namespace
}  // namespace weft::test
