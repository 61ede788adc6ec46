// One input as what a client or a server sends, and how its streams are used. However it is split, it must mean the
// same; no more of a stream may be held than its window; and a head that goes to HTTP/1.1 and back must be the same.
#include <algorithm>
#include <cstdlib>
#include <set>

#include "../core/http2/convert.h"
#include "../test/http2_frames.h"
#include "../test/http2_peers.h"

namespace {

namespace http1 = weft::core::http1;
using namespace weft::test::http2;

constexpr uint32_t kRequests = 4;
constexpr size_t kMaxLog = 1 << 20;

void Require(bool condition) {
  if (!condition) abort();
}

// What is done about an event: the same for the same stream and event.
enum class Deed : uint8_t { kNothing, kAnswer, kAnswerWithBody, kAnswerWithTrailers, kReset, kStop, kWrite, kFinish };

void CheckConversion(const Head& head) {
  std::string text, again;
  http1::Head middle, last;
  Head back;
  if (head.status != 0) {
    if (ResponseToHttp1(head, {}, "x", text, middle) != http1::Error::kNone) return;
    Require(ResponseFromHttp1(middle, {}, {}, back) == http1::Error::kNone);
    Require(ResponseToHttp1(back, {}, "x", again, last) == http1::Error::kNone);
  } else {
    if (RequestToHttp1(head, "x", text, middle) != http1::Error::kNone) return;
    Require(middle.authority() == head.authority());
    Require(RequestFromHttp1(middle, {}, {.extended_connect = true}, back) == http1::Error::kNone);
    Require(RequestToHttp1(back, "x", again, last) == http1::Error::kNone);
    Require(last.target() == middle.target() && last.method() == middle.method());
  }
  Require(last.body == middle.body && last.status == middle.status && last.content_length == middle.content_length);
}

class User {
 public:
  User(Session& session, ServerSession* server, uint8_t deeds) : session_(session), server_(server), deeds_(deeds) {}

  void Do(Stream& stream, uint32_t event) {
    const uint32_t which = (static_cast<uint32_t>(stream.id()) * 7 + event * 13 + deeds_) % 11;
    if (which >= 8) return;
    const std::string body(100 * which, 'x');
    switch (static_cast<Deed>(which)) {
      case Deed::kNothing:
        return;
      case Deed::kAnswer:
        Answer(stream, true);
        return;
      case Deed::kAnswerWithBody:
        Answer(stream, false);
        if (!stream.finished()) session_.Write(stream, Bytes(body));
        session_.Finish(stream);
        return;
      case Deed::kAnswerWithTrailers: {
        Answer(stream, false);
        Head trailers;
        trailers.Add("grpc-status", "0");
        session_.FinishWith(stream, trailers);
        return;
      }
      case Deed::kReset:
        gone_ = true;
        session_.Reset(stream, ErrorCode::kCancel);
        return;
      case Deed::kStop:
        session_.StopReading(stream);
        return;
      case Deed::kWrite:
        if (Begun(stream)) session_.Write(stream, Bytes(body));
        return;
      case Deed::kFinish:
        if (Begun(stream)) session_.Finish(stream);
        return;
    }
  }
  // The stream of the last event.
  bool TakeGone() { return std::exchange(gone_, false); }

 private:
  bool Begun(const Stream& stream) const { return server_ == nullptr || stream.context != nullptr; }
  void Answer(Stream& stream, bool ends) {
    if (Begun(stream)) return;
    stream.context = this;
    server_->Respond(stream, Response(200, ends));
  }

  Session& session_;
  ServerSession* const server_;
  const uint8_t deeds_;
  bool gone_ = false;
};

class Watcher final : public Recorder {
 public:
  explicit Watcher(const Limits& limits) : limits_(limits) {}
  User* user = nullptr;

  void OnHead(Stream& stream, const Head& head) override {
    Recorder::OnHead(stream, head);
    CheckConversion(head);
    user->Do(stream, 1);
  }
  void OnRefused(Stream& stream, http1::Error error) override {
    Recorder::OnRefused(stream, error);
    user->Do(stream, 2);
  }
  void OnBody(Stream& stream, std::span<const std::byte> bytes) override {
    Require(!bytes.empty());
    Require(stream.held() <= limits_.max_window);
    bodies[stream.id()] += Text(bytes);
    const bool keeps = (stream.id() & 2) != 0;
    if (!keeps) session->Consumed(stream, bytes.size());
  }
  void OnTrailers(Stream& stream, const Head& head) override {
    Recorder::OnTrailers(stream, head);
    user->Do(stream, 3);
  }
  void OnEnd(Stream& stream) override {
    Recorder::OnEnd(stream);
    user->Do(stream, 4);
  }

 private:
  const Limits& limits_;
};

struct Meaning {
  std::string log, reaction;
  std::map<int32_t, std::string> bodies;
  bool operator==(const Meaning& other) const {
    if (log != other.log || reaction != other.reaction) return false;
    std::set<int32_t> streams;
    for (const Meaning* meaning : {this, &other}) {
      for (const auto& [stream, body] : meaning->bodies) streams.insert(stream);
    }
    return std::ranges::all_of(streams, [&](int32_t stream) { return SameBody(stream, other); });
  }

 private:
  // Of a body that is longer than was announced, what is shown before it is refused depends on the pieces. The stream
  // is reset, unless its connection fails first.
  bool SameBody(int32_t stream, const Meaning& other) const {
    const std::string mine = Body(stream), theirs = other.Body(stream);
    const bool cut = ("\n" + log).find("\n" + std::to_string(stream) + " reset") != std::string::npos ||
                     reaction.find("goaway") != std::string::npos;
    return cut ? mine.starts_with(theirs) || theirs.starts_with(mine) : mine == theirs;
  }
  std::string Body(int32_t stream) const {
    const auto found = bodies.find(stream);
    return found == bodies.end() ? "" : found->second;
  }
};

std::string TakeOutput(Session& session) {
  std::string all, bytes(4096, '\0');
  while (const size_t size = session.Output(std::as_writable_bytes(std::span(bytes)))) all.append(bytes, 0, size);
  return all;
}

template <typename Role>
Meaning Play(const Limits& limits, uint8_t deeds, std::string_view input, size_t step, bool answers) {
  Watcher watcher(limits);
  Role session(limits, watcher);
  watcher.session = &session;
  ServerSession* server = nullptr;
  if constexpr (std::is_same_v<Role, ServerSession>) server = &session;
  User user(session, server, deeds);
  watcher.user = &user;
  Meaning meaning;
  if constexpr (std::is_same_v<Role, ClientSession>) {
    for (uint32_t i = 0; i < kRequests; i++) session.Open(Request(i == 1 ? "HEAD" : "POST", "/", i < 2));
    TakeOutput(session);
  }
  for (size_t at = 0; at < input.size(); at += step) {
    if (!session.Receive(Bytes(input.substr(at, step)), 1)) break;
    if (answers) meaning.reaction += Reaction(TakeOutput(session));
    Require(meaning.reaction.size() < kMaxLog);
  }
  meaning.reaction += Reaction(TakeOutput(session));
  Require(!session.has_output());
  meaning.log = watcher.log;
  meaning.bodies = watcher.bodies;
  session.EndAll([](Stream&) {});
  return meaning;
}

template <typename Role>
void Check(const Limits& limits, uint8_t deeds, std::string_view input, size_t step) {
  const Meaning whole = Play<Role>(limits, deeds, input, SIZE_MAX / 2, false);
  const Meaning split = Play<Role>(limits, deeds, input, step, false);
  // Who says goodbye and goes on is listened to until the piece ends.
  Require(split == whole || whole.log.find("goaway") != std::string::npos);
  Play<Role>(limits, deeds, input, step, true);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) return 0;
  const bool client = (data[0] & 1) != 0;
  Limits limits;
  limits.max_waiting_frames = 1 << 20;  // is looked at after each piece
  if ((data[0] & 2) != 0) {
    limits.max_streams = 3;
    limits.max_head = 300;
    limits.max_fields = 5;
    limits.window = 1000;
    limits.max_window = 4000;
    limits.max_growth = 4000;
    limits.max_interim_responses = 2;
  }
  const std::string_view rest(reinterpret_cast<const char*>(data) + 3, size - 3);
  const size_t step = 1 + data[1] % 64;
  if (client) {
    Check<ClientSession>(limits, data[2], rest, step);
  } else {
    Check<ServerSession>(limits, data[2], (data[0] & 4) != 0 ? std::string(rest) : kPreface + std::string(rest), step);
  }
  return 0;
}
