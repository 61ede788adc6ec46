// Sessions of weft/1, behaviour by behaviour.
#include "weft1_peers.h"

namespace weft::test {
namespace {

using weft1::ErrorCode;
using weft1::FrameType;
using weft1::kHeaderBytes;
using weft1::kInitialWindow;
using weft1::kMaxPayload;
using weft1::kMaxWindow;
using weft1::Limits;
using weft1::Role;
using weft1::Stream;

// Two sessions that have greeted each other.
struct Pair {
  explicit Pair(const Limits& limits = {}) : client(Role::kClient, limits), server(Role::kServer, limits) {
    Exchange(client, server);
  }
  Stream& Open() {
    Stream* const stream = client.session.Open(SomeRequest());
    CHECK(stream != nullptr);
    Exchange(client, server);
    server.TakeEvents();
    return *stream;
  }
  Stream& served() { return *server.opened.back(); }

  Peer client, server;
};

constexpr size_t kFullFrame = kMaxPayload - kHeaderBytes;  // the largest that a session makes

TEST("weft/1: a request and its response, half-closed, then released on both sides") {
  Pair pair;
  Stream* const stream = pair.client.session.Open(SomeRequest());
  CHECK(stream != nullptr);
  pair.client.Write(*stream, Text("GET"));
  pair.client.session.Finish(*stream);
  Exchange(pair.client, pair.server);
  CHECK_EQUAL(pair.server.TakeEvents(), "open 1, data 1 GET, fin 1");
  CHECK(Same(pair.server.last_request.client, SomeRequest().client));
  CHECK(Same(pair.server.last_request.destination, SomeRequest().destination));
  pair.server.Write(pair.served(), Text("OK"));
  pair.server.session.Finish(pair.served());
  pair.server.session.Release(pair.served());
  Exchange(pair.client, pair.server);
  CHECK_EQUAL(pair.client.TakeEvents(), "data 1 OK, fin 1");
  pair.client.session.Release(*stream);
  Exchange(pair.client, pair.server);
  CHECK_EQUAL(pair.client.TakeEvents() + pair.server.TakeEvents(), "");
  CHECK_EQUAL(pair.client.session.open_streams() + pair.server.session.open_streams(), 0u);
}

// Joins what one stream got in several pieces.
std::string WithoutSplits(std::string events) {
  const std::string again = ", data 1 ";
  const size_t first = events.find("data 1 ");
  for (size_t at; first != std::string::npos && (at = events.find(again, first + 1)) != std::string::npos;) {
    events.erase(at, again.size());
  }
  return events;
}

TEST("weft/1: input means the same wherever it is split") {
  const Buffer input =
      Joined({RawHello(), RawOpen(1), RawFrame(FrameType::kPing, 0, Text("12345678")),
              RawFrame(FrameType::kData, 1, Text("abcdefghij")), RawFrame(FrameType::kCredit, 1, Numbers({1000})),
              RawFrame(FrameType::kFin, 1), RawOpen(2), RawFrame(FrameType::kReset, 2, Numbers({2}))});
  const std::string expected = "open 1, data 1 abcdefghij, fin 1, open 2, reset 2 RESET";
  for (size_t at = 0; at <= input.size(); at++) {
    Peer server(Role::kServer);
    CHECK(server.Receive(Bytes(input).first(at)) == ErrorCode::kNone);
    CHECK(server.Receive(Bytes(input).subspan(at)) == ErrorCode::kNone);
    CHECK_EQUAL(WithoutSplits(server.TakeEvents()), expected);
    CHECK(server.Take() == Joined({RawHello(), RawFrame(FrameType::kPong, 0, Text("12345678"))}));
  }
  Peer server(Role::kServer);
  for (const std::byte& byte : input) CHECK(server.Receive(std::span(&byte, 1)) == ErrorCode::kNone);
  CHECK_EQUAL(WithoutSplits(server.TakeEvents()), expected);
}

TEST("weft/1: the client writes before it has heard HELLO, within what every server takes") {
  Peer client(Role::kClient), server(Role::kServer, {.max_streams = 1});
  std::vector<Stream*> streams;
  while (Stream* const stream = client.session.Open(SomeRequest())) streams.push_back(stream);
  CHECK_EQUAL(streams.size(), 256u);
  CHECK_EQUAL(client.Write(*streams[0], Text("at once")), 7u);
  CHECK(server.Receive(client.Take()) == ErrorCode::kNone);
  CHECK_EQUAL(server.session.open_streams(), 256u);
  CHECK(server.TakeEvents().ends_with("open 256, data 1 at once"));
  // From now on it keeps to what the server said.
  CHECK(client.Receive(server.Take()) == ErrorCode::kNone);
  for (Stream* const stream : streams) {
    CHECK(!client.session.can_open());
    client.session.Reset(*stream, ErrorCode::kReset);
  }
  CHECK(client.session.Open(SomeRequest()) != nullptr);
  CHECK(!client.session.can_open());
}

TEST("weft/1: bytes lie in the output where they were written, and output is told of once") {
  Pair pair;
  Stream& stream = pair.Open();
  const int outputs = pair.client.outputs;
  std::span<std::byte> room = pair.client.session.Reserve(stream);
  CHECK_EQUAL(room.size(), kFullFrame);
  pair.client.session.Commit(stream, 0);
  CHECK(pair.client.session.output().empty());
  CHECK_EQUAL(pair.client.outputs, outputs);
  room = pair.client.session.Reserve(stream);
  memcpy(room.data(), "abc", 3);
  pair.client.session.Commit(stream, 3);
  CHECK(pair.client.session.output().data() + kHeaderBytes == room.data());
  pair.client.Write(stream, Text("d"));
  CHECK_EQUAL(pair.client.outputs, outputs + 1);
  CHECK_EQUAL(ToHex(pair.client.session.output()), "0000030200000001616263000001020000000164");
  // What was written in part goes on where it stopped.
  pair.client.session.Written(12);
  CHECK_EQUAL(ToHex(pair.client.session.output()), "0001020000000164");
}

TEST("weft/1: a stream whose reader rests holds its window and no other stream") {
  Pair pair;
  pair.server.consumes = pair.server.records_data = false;
  Stream& slow = pair.Open();
  Stream& other = pair.Open();
  const Buffer bytes(2 * kInitialWindow);
  size_t sent = 0;
  while (const size_t more = pair.client.Write(slow, Bytes(bytes).subspan(sent))) {
    sent += more;
    Exchange(pair.client, pair.server);
  }
  CHECK_EQUAL(sent, 2 * kFullFrame);  // what is left of the window is not worth a frame
  CHECK_EQUAL(pair.client.Write(other, Text("hello")), 5u);
  Exchange(pair.client, pair.server);
  CHECK_EQUAL(pair.server.received, uint64_t{sent + 5});
  pair.client.TakeEvents();
  // Little is not worth a frame; half of the window is.
  Stream& served = *pair.server.opened.front();
  pair.server.session.Consumed(served, kInitialWindow / 2 - 1, pair.server.now_us);
  CHECK(pair.server.session.output().empty());
  pair.server.session.Consumed(served, 1, pair.server.now_us);
  CHECK(Bytes(pair.server.session.output()).size() == kHeaderBytes + weft1::kCreditBytes);
  Exchange(pair.client, pair.server);
  CHECK_EQUAL(pair.client.TakeEvents(), "room 1");
  CHECK_EQUAL(pair.client.Write(slow, bytes), kFullFrame);
}

TEST("weft/1: no CREDIT goes to a side that has finished, and none wakes a stream that has") {
  Pair pair;
  pair.server.consumes = pair.server.records_data = false;
  Stream& stream = pair.Open();
  pair.client.Write(stream, Buffer(kMaxPayload));
  pair.client.Take();
  Peer server(Role::kServer);
  server.consumes = server.records_data = false;
  CHECK(server.Receive(Joined({RawHello(), RawOpen(1), RawFrame(FrameType::kData, 1, Buffer(kMaxPayload)),
                               RawFrame(FrameType::kData, 1, Buffer(kMaxPayload)), RawFrame(FrameType::kFin, 1)})) ==
        ErrorCode::kNone);
  server.Take();
  server.session.Consumed(*server.opened.front(), kInitialWindow, server.now_us);
  CHECK(server.session.output().empty());

  pair.client.Write(stream, Buffer(kInitialWindow));
  pair.client.session.Finish(stream);
  pair.client.Take();
  pair.client.TakeEvents();
  CHECK(pair.client.Receive(RawFrame(FrameType::kCredit, 1, Numbers({1}))) == ErrorCode::kNone);
  CHECK_EQUAL(pair.client.TakeEvents(), "");
}

TEST("weft/1: the window of a stream whose user is behind does not grow") {
  Pair pair;
  pair.server.consumes = pair.server.records_data = pair.client.records_data = false;
  Stream& stream = pair.Open();
  const auto fill = [&] {
    while (pair.client.Write(stream, Buffer(kInitialWindow)) > 0) Exchange(pair.client, pair.server);
  };
  fill();
  for (int turn = 0; turn < 20; turn++) {
    pair.server.now_us += 1000;
    pair.server.session.Consumed(*pair.server.opened.front(), kInitialWindow / 2, pair.server.now_us);
    Exchange(pair.client, pair.server);
    const uint64_t before = pair.server.received;
    fill();
    CHECK(pair.server.received - before <= kInitialWindow * 3 / 4);
  }
}

TEST("weft/1: a stream that gets through its window fast gets a larger one, within the bound of all") {
  const Limits limits{.max_streams = 256, .max_windows = 4 << 20};
  Pair pair(limits);
  pair.server.records_data = pair.client.records_data = false;
  Stream& stream = pair.Open();
  pair.client.writes_when_room = kMaxPayload + 1;
  pair.client.Write(stream, Buffer(kMaxPayload + 1));
  for (int turn = 0; turn < 200; turn++) {
    const Buffer there = pair.client.Take();
    pair.server.now_us += 1000;
    CHECK(pair.server.Receive(there) == ErrorCode::kNone);
    CHECK(pair.client.Receive(pair.server.Take()) == ErrorCode::kNone);
  }
  pair.server.consumes = false;
  pair.client.writes_when_room = 0;
  Exchange(pair.client, pair.server);
  const uint64_t before = pair.server.received;
  while (pair.client.Write(stream, Buffer(1 << 20)) > 0) Exchange(pair.client, pair.server);
  // The rest of the window, of which up to a half may have been used.
  CHECK(pair.server.received - before <= limits.max_windows);
  CHECK(pair.server.received - before >= limits.max_windows / 2 - kInitialWindow);
  // And a slow one keeps what it has.
  Stream& slow = pair.Open();
  pair.server.consumes = true;
  for (int turn = 0; turn < 50; turn++) {
    pair.server.now_us += 1'000'000;
    pair.client.Write(slow, Buffer(kMaxPayload));
    Exchange(pair.client, pair.server);
  }
  pair.server.consumes = false;
  size_t more = 0;
  while (const size_t part = pair.client.Write(slow, Buffer(1 << 20))) {
    more += part;
    Exchange(pair.client, pair.server);
  }
  CHECK(more <= kInitialWindow);
}

// How much more a client may send when its server takes nothing any more.
size_t WindowLeft(Pair& pair, Stream& stream) {
  pair.server.consumes = false;
  size_t sent = 0;
  while (const size_t part = pair.client.Write(stream, Buffer(1 << 20))) {
    sent += part;
    Exchange(pair.client, pair.server);
  }
  pair.server.consumes = true;
  return sent;
}

void Hurry(Pair& pair, Stream& stream, size_t bytes) {
  while (bytes > 0) {
    pair.server.now_us += 100;
    bytes -= std::min(bytes, pair.client.Write(stream, Buffer(std::min<size_t>(bytes, 1 << 20))));
    Exchange(pair.client, pair.server);
  }
}

TEST(
    "weft/1: no window grows beyond the largest that there may be, and what a stream had grown by is there for "
    "others") {
  Pair pair({.max_streams = 256, .max_windows = 20 << 20});
  pair.server.records_data = false;
  for (int i = 0; i < 5; i++) {
    Stream& stream = pair.Open();
    Hurry(pair, stream, 64 << 20);
    const size_t left = WindowLeft(pair, stream);
    CHECK(left > kMaxWindow / 2 && left <= kMaxWindow);
    pair.client.session.Reset(stream, ErrorCode::kReset);
    Exchange(pair.client, pair.server);
  }
}

TEST("weft/1: what was given back may be sent, and not a byte more") {
  Peer server(Role::kServer);
  server.consumes = server.records_data = false;
  const Buffer half = RawFrame(FrameType::kData, 1, Buffer(kMaxPayload));
  CHECK(server.Receive(Joined({RawHello(), RawOpen(1), half, half})) == ErrorCode::kNone);
  for (int i = 0; i < 3; i++) {
    server.session.Consumed(*server.opened.front(), kMaxPayload, server.now_us += 1'000'000);
    CHECK(server.Receive(half) == ErrorCode::kNone);
  }
  CHECK_EQUAL(Name(server.Receive(RawFrame(FrameType::kData, 1, Buffer(1)))), "FLOW_CONTROL");
}

TEST("weft/1: streams that wait have turns of the same size, in order") {
  Pair pair;
  std::vector<Stream*> streams;
  Buffer credits;
  for (uint32_t id = 1; id <= 12; id++) {
    streams.push_back(&pair.Open());
    credits = Joined({credits, RawFrame(FrameType::kCredit, id, Numbers({kMaxWindow - kInitialWindow}))});
  }
  CHECK(pair.client.Receive(credits) == ErrorCode::kNone);
  pair.client.writes_when_room = kMaxWindow;
  for (Stream* const stream : streams) pair.client.Write(*stream, Buffer(kMaxWindow));
  for (int i = 0; i < 600; i++) pair.client.session.Written(64 * 1024);
  uint64_t least = UINT64_MAX, most = 0;
  for (const auto& [id, written] : pair.client.written) {
    least = std::min(least, written);
    most = std::max(most, written);
  }
  CHECK(least >= 20 * uint64_t{kMaxPayload});
  CHECK(most - least <= 2 * uint64_t{kMaxPayload});
}

TEST("weft/1: a window may be filled to its limit and no further") {
  Pair pair;
  Stream& stream = pair.Open();
  CHECK(pair.client.Receive(RawFrame(FrameType::kCredit, 1, Numbers({kMaxWindow - kInitialWindow}))) ==
        ErrorCode::kNone);
  size_t room = 0;
  pair.client.writes_when_room = kMaxPayload + 1;
  pair.client.Write(stream, Buffer(kMaxPayload + 1));
  while (!pair.client.session.output().empty()) room += pair.client.Take().size();
  const size_t frames = kMaxWindow / kFullFrame;
  CHECK_EQUAL(room, frames * kMaxPayload);  // the headers take what is not worth another frame
}

TEST("weft/1: RST ends both directions, and what was on its way is ignored") {
  Pair pair;
  Stream& stream = pair.Open();
  pair.client.Write(stream, Text("late"));
  const Buffer late = pair.client.Take();
  pair.server.session.Reset(pair.served(), ErrorCode::kRefused);
  CHECK(pair.server.Receive(Joined(
            {late, RawFrame(FrameType::kCredit, 1, Numbers({5})), RawFrame(FrameType::kFin, 1)})) == ErrorCode::kNone);
  CHECK(pair.server.Receive(RawFrame(FrameType::kReset, 1, Numbers({2}))) == ErrorCode::kNone);
  CHECK_EQUAL(pair.server.TakeEvents(), "");
  CHECK(pair.client.Receive(pair.server.Take()) == ErrorCode::kNone);
  CHECK_EQUAL(pair.client.TakeEvents(), "reset 1 REFUSED");
  CHECK_EQUAL(pair.client.session.open_streams() + pair.server.session.open_streams(), 0u);
  CHECK(pair.client.session.output().empty());
}

TEST("weft/1: a stream may be reset while its DATA arrives") {
  Pair pair;
  Stream& stream = pair.Open();
  pair.client.Write(stream, Text("abcdef"));
  const Buffer frame = pair.client.Take();
  CHECK(pair.server.Receive(Bytes(frame).first(10)) == ErrorCode::kNone);
  CHECK_EQUAL(pair.server.TakeEvents(), "data 1 ab");
  pair.server.session.Reset(pair.served(), ErrorCode::kReset);
  CHECK(pair.server.Receive(Bytes(frame).subspan(10)) == ErrorCode::kNone);
  CHECK_EQUAL(pair.server.TakeEvents(), "");
  Exchange(pair.client, pair.server);
  CHECK_EQUAL(pair.client.TakeEvents(), "reset 1 RESET");
}

TEST("weft/1: a stream that waits for room may be reset or finished, and is not told of room") {
  Pair pair;
  Stream& first = pair.Open();
  Stream& second = pair.Open();
  Stream& third = pair.Open();
  Stream& fourth = pair.Open();
  for (Stream* const stream : {&first, &second, &third, &fourth}) pair.client.Write(*stream, Buffer(kInitialWindow));
  pair.client.session.Reset(second, ErrorCode::kReset);
  pair.client.session.Finish(third);
  pair.client.Take();
  CHECK_EQUAL(pair.client.TakeEvents(), "room 1, room 4");
}

TEST("weft/1: after GOAWAY what is open goes on, what is opened is refused") {
  Pair pair;
  Stream& stream = pair.Open();
  Stream* const late = pair.client.session.Open(SomeRequest());
  pair.client.Write(*late, Text("for nobody"));
  const Buffer opening = pair.client.Take();
  pair.server.session.GoAway(0);
  pair.server.session.GoAway(0);
  const Buffer farewell = pair.server.Take();
  CHECK(farewell == RawFrame(FrameType::kGoAway, 0, Numbers({1})));
  CHECK(pair.client.Receive(farewell) == ErrorCode::kNone);
  CHECK_EQUAL(pair.client.TakeEvents(), "goaway");
  CHECK(!pair.client.session.can_open() && pair.client.session.Open(SomeRequest()) == nullptr);
  CHECK(pair.server.Receive(opening) == ErrorCode::kNone);
  CHECK_EQUAL(pair.server.TakeEvents(), "");
  pair.client.Write(stream, Text("still"));
  Exchange(pair.client, pair.server);
  CHECK_EQUAL(pair.client.TakeEvents(), "reset 2 REFUSED");
  CHECK_EQUAL(pair.server.TakeEvents(), "data 1 still");
}

TEST("weft/1: who is asked to leave is refused nothing, until it is asked again and told from when on") {
  Peer server(Role::kServer);
  CHECK(server.Receive(RawHello()) == ErrorCode::kNone);
  server.Take();
  server.session.GoAway();
  server.session.GoAway();
  CHECK(server.Take() == RawFrame(FrameType::kGoAway, 0, Numbers({UINT32_MAX})));
  CHECK(server.Receive(RawOpen(1)) == ErrorCode::kNone);
  CHECK_EQUAL(server.TakeEvents(), "open 1");
  server.session.GoAway(0);
  server.session.GoAway();
  server.session.GoAway(1);
  CHECK(server.Take() == RawFrame(FrameType::kGoAway, 0, Numbers({1})));
  CHECK(server.Receive(RawOpen(2)) == ErrorCode::kNone);
  CHECK_EQUAL(server.TakeEvents(), "");
  CHECK(server.Take() == RawFrame(FrameType::kReset, 2, Numbers({static_cast<uint32_t>(ErrorCode::kRefused)})));
}

TEST("weft/1: one stream over the limit is refused, and the others do not notice") {
  Peer server(Role::kServer, {.max_streams = 256});
  CHECK(server.Receive(RawHello()) == ErrorCode::kNone);
  for (uint32_t id = 1; id <= 256; id++) CHECK(server.Receive(RawOpen(id)) == ErrorCode::kNone);
  server.Take();
  server.TakeEvents();
  const Buffer data = RawFrame(FrameType::kData, 257, Text("unheard"));
  CHECK(server.Receive(Joined({RawOpen(257), data, RawFrame(FrameType::kFin, 257)})) == ErrorCode::kNone);
  CHECK_EQUAL(server.TakeEvents(), "");
  CHECK(server.Take() ==
        RawFrame(FrameType::kReset, 257, Numbers({static_cast<uint32_t>(ErrorCode::kTooManyStreams)})));
  // A stream counts until the server has let go of it, though both sides may have finished.
  Stream& first = *server.opened.front();
  CHECK(server.Receive(RawFrame(FrameType::kFin, 1)) == ErrorCode::kNone);
  server.session.Finish(first);
  CHECK(server.Receive(RawOpen(258)) == ErrorCode::kNone);
  server.session.Release(first);
  server.TakeEvents();
  CHECK(server.Receive(RawOpen(259)) == ErrorCode::kNone);
  CHECK_EQUAL(server.TakeEvents(), "open 259");
}

TEST("weft/1: the output is bounded, and each stream has its share of it") {
  Pair pair;
  Stream& bulk = pair.Open();
  CHECK(pair.client.Receive(RawFrame(FrameType::kCredit, 1, Numbers({kMaxWindow - kInitialWindow}))) ==
        ErrorCode::kNone);
  CHECK_EQUAL(pair.client.Write(bulk, Buffer(kMaxWindow)), kFullFrame);
  Stream* const small = pair.client.session.Open(SomeRequest());
  CHECK_EQUAL(pair.client.Write(*small, Text("not behind the bulk")), 19u);
  while (Stream* const stream = pair.client.session.Open(SomeRequest())) {
    pair.client.Write(*stream, Buffer(kInitialWindow));
  }
  CHECK(pair.client.session.output().size() <= 1024 * 1024);
}

// Each round new streams fill the output before it is empty: those that were there get on nevertheless.
TEST("weft/1: a stream does not starve behind ever new ones") {
  Pair pair;
  Stream& old = pair.Open();
  pair.client.writes_when_room = kMaxWindow;
  CHECK(pair.client.Receive(RawFrame(FrameType::kCredit, 1, Numbers({kMaxWindow - kInitialWindow}))) ==
        ErrorCode::kNone);
  pair.client.Write(old, Buffer(kMaxWindow));
  constexpr int kRounds = 30;
  for (int round = 0; round < kRounds; round++) {
    Stream* const young = pair.client.session.Open(SomeRequest());
    CHECK(young != nullptr);
    pair.client.Write(*young, Buffer(kMaxPayload));
    pair.client.session.Reset(*young, ErrorCode::kReset);
    pair.client.session.Written(kMaxPayload);
    CHECK(!pair.client.session.output().empty());
  }
  CHECK(pair.client.written[1] >= kRounds / 4 * uint64_t{kMaxPayload});
}

TEST("weft/1: whoever reads nothing cannot make the session hold ever more") {
  constexpr size_t kBound = 1024 * 1024 + 64 * 1024;
  const auto survives = [](Peer& server, const Buffer& input) {
    for (int i = 0; i < 1'000'000; i++) {
      server.now_us += 1'000'000;
      CHECK(server.session.output().size() <= kBound);
      if (const ErrorCode error = server.Receive(input); error != ErrorCode::kNone) return error;
    }
    return ErrorCode::kNone;
  };
  Peer pinged(Role::kServer);
  CHECK(pinged.Receive(RawHello()) == ErrorCode::kNone);
  CHECK_EQUAL(Name(survives(pinged, Repeated(RawFrame(FrameType::kPing, 0, Buffer(8)), 1000))), "FLOOD");
  // CREDIT for what is consumed.
  Peer fed(Role::kServer);
  fed.records_data = false;
  CHECK(fed.Receive(Joined({RawHello(), RawOpen(1)})) == ErrorCode::kNone);
  fed.now_us += 1'000'000;
  const Buffer data = RawFrame(FrameType::kData, 1, Buffer(kMaxPayload));
  CHECK_EQUAL(Name(survives(fed, data)), "FLOOD");
  // A client whose server reads nothing opens elsewhere.
  Peer client(Role::kClient);
  for (int i = 0; i < 100'000; i++) {
    if (!client.session.can_open()) break;
    client.session.Reset(*client.session.Open(SomeRequest()), ErrorCode::kReset);
  }
  CHECK(!client.session.can_open());
  CHECK(client.session.output().size() <= kBound);
  client.Take();
  CHECK(client.session.can_open());
}

TEST("weft/1: control frames are counted against time: no stream is too long, and DATA pays for nothing") {
  // CREDIT alone, for a day: a slow upload without an answer.
  Pair pair;
  Stream& stream = pair.Open();
  for (int second = 0; second < 86'400; second++) {
    pair.client.now_us += 1'000'000;
    pair.client.Write(stream, Buffer(10));
    pair.client.Take();
    const Buffer credits = Repeated(RawFrame(FrameType::kCredit, 1, Numbers({1})), 10);
    CHECK(pair.client.Receive(credits) == ErrorCode::kNone);
  }
  Peer server(Role::kServer);
  CHECK(server.Receive(Joined({RawHello(), RawOpen(1), RawFrame(FrameType::kReset, 1, Numbers({2}))})) ==
        ErrorCode::kNone);
  const Buffer flood =
      Joined({Repeated(RawFrame(FrameType::kPong, 0, Buffer(8)), 50'000), RawFrame(FrameType::kData, 1, Buffer(1))});
  CHECK(server.Receive(flood) == ErrorCode::kNone);
  CHECK_EQUAL(Name(server.Receive(Joined({flood, flood}))), "FLOOD");
}

TEST("weft/1: the end shows each stream once, also when the end of one is the end of others") {
  Pair pair;
  for (int i = 0; i < 10; i++) pair.Open();
  std::vector<uint32_t> shown;
  pair.server.session.EndAll([&](Stream& stream) {
    shown.push_back(stream.id());
    for (Stream*& other : pair.server.opened) {
      if (other == &stream) other = nullptr;
    }
    const auto other = std::find_if(pair.server.opened.begin(), pair.server.opened.end(),
                                    [](const Stream* candidate) { return candidate != nullptr; });
    if (other == pair.server.opened.end()) return;
    pair.server.session.Reset(**other, ErrorCode::kReset);
    *other = nullptr;
  });
  CHECK_EQUAL(shown.size(), 5u);
  CHECK_EQUAL(pair.server.session.open_streams(), 0u);
}

class EndsAtOpen final : public weft1::SessionEvents {
 public:
  void OnOpen(Stream&, const weft1::OpenRequest&) override {
    opened++;
    session.EndAll([&](Stream&) { ended++; });
  }
  void OnData(Stream&, Bytes) override { CHECK(false); }
  void OnRoom(Stream&) override { CHECK(false); }
  void OnFin(Stream&) override { CHECK(false); }
  void OnReset(Stream&, ErrorCode) override { CHECK(false); }
  void OnGoAway() override { CHECK(false); }
  void OnOutput() override {}

  weft1::Session session{Role::kServer, {}, *this};
  int opened = 0, ended = 0;
};

TEST("weft/1: nothing comes after the end, though it lies in the same input") {
  EndsAtOpen server;
  const Buffer input = Joined({RawHello(), RawOpen(1), RawFrame(FrameType::kData, 1, Text("x")), RawOpen(2)});
  CHECK(server.session.Receive(input, 1) == ErrorCode::kNone);
  CHECK(server.session.Receive(RawOpen(3), 1) == ErrorCode::kNone);
  CHECK_EQUAL(server.opened, 1);
  CHECK_EQUAL(server.ended, 1);
  CHECK_EQUAL(server.session.open_streams(), 0u);
  Peer client(Role::kClient);
  client.session.EndAll([](Stream&) {});
  CHECK(!client.session.can_open());
}

TEST("weft/1: the output's memory grows to what is there, moves what is left, and is let go of when empty") {
  weft1::Output output;
  const auto put = [&](size_t size, uint8_t value) {
    memset(output.Reserve(size), value, size);
    output.Commit(size);
  };
  put(5000, 1);
  put(3000, 2);
  output.Written(4999);
  put(8000, 3);
  CHECK_EQUAL(output.size(), 11001u);
  const Bytes bytes = output.bytes();
  CHECK(bytes[0] == std::byte{1} && bytes[1] == std::byte{2} && bytes[3000] == std::byte{2});
  CHECK(bytes[3001] == std::byte{3} && bytes[11000] == std::byte{3});
  output.Free();
  CHECK_EQUAL(output.size(), 11001u);
  output.Written(11001);
  CHECK(output.empty());
  put(200'000, 4);
  output.Written(1);
  put(1, 5);
  CHECK_EQUAL(output.size(), 200'000u);
  CHECK(output.bytes().back() == std::byte{5});
  output.Written(200'000);
  output.Free();
  put(1, 6);
  CHECK(output.bytes().front() == std::byte{6});
}

}  // namespace
}  // namespace weft::test
