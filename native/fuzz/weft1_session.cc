// Two readings of one input. First as what a peer sends: whole and in pieces it must mean the same. Then as a script of
// what a peer sends, apps do and the socket takes: every event must be lawful and every bound hold at each step.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "../core/weft1/session.h"

namespace {

using namespace weft::core::weft1;
using Bytes = std::span<const std::byte>;

constexpr size_t kMostOutput = 1024 * 1024 + 64 * 1024;

void Require(bool condition) {
  if (!condition) abort();
}

// The fuzzer's bytes; zeros follow them.
class Script {
 public:
  Script(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool ended() const { return at_ >= size_; }
  uint32_t Byte() { return ended() ? 0 : data_[at_++]; }
  uint32_t Number() { return Byte() << 8 | Byte(); }
  std::vector<std::byte> Take(size_t bytes) {
    std::vector<std::byte> taken(bytes);
    for (std::byte& byte : taken) byte = static_cast<std::byte>(Byte());
    return taken;
  }

 private:
  const uint8_t* const data_;
  const size_t size_;
  size_t at_ = 0;
};

// Records what comes, data of a stream in one piece.
class Recorder final : public SessionEvents {
 public:
  explicit Recorder(Role role) : session(role, {}, *this) {}

  void OnOpen(Stream& stream, const OpenRequest& request) override {
    events += "open " + std::to_string(stream.id()) + " " + std::to_string(request.destination.port) + "\n";
  }
  void OnData(Stream& stream, Bytes bytes) override {
    data[stream.id()].append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  void OnRoom(Stream& stream) override { events += "room " + std::to_string(stream.id()) + "\n"; }
  void OnFin(Stream& stream) override {
    events += "fin " + std::to_string(stream.id()) + " " + std::to_string(data[stream.id()].size()) + "\n";
  }
  void OnReset(Stream& stream, ErrorCode code) override {
    events += "reset " + std::to_string(stream.id()) + " " + std::to_string(static_cast<uint32_t>(code)) + "\n";
  }
  void OnGoAway() override { events += "goaway\n"; }
  void OnOutput() override {}

  Session session;
  std::string events;
  std::map<uint32_t, std::string> data;
};

void ReceiveSplit(Role role, uint32_t split, Bytes input) {
  Recorder whole(role), parts(role);
  if (role == Role::kClient) {
    for (int i = 0; i < 3; i++) {
      whole.session.Open({});
      parts.session.Open({});
    }
  }
  const ErrorCode error = whole.session.Receive(input, 1);
  ErrorCode error_of_parts = ErrorCode::kNone;
  for (size_t at = 0; at < input.size() && error_of_parts == ErrorCode::kNone;) {
    const size_t size = std::min<size_t>(1 + split % 37, input.size() - at);
    error_of_parts = parts.session.Receive(input.subspan(at, size), 1);
    at += size;
    split = split * 1664525 + 1013904223;
  }
  Require(error == error_of_parts && whole.events == parts.events && whole.data == parts.data);
  const Bytes output = whole.session.output(), output_of_parts = parts.session.output();
  Require(std::equal(output.begin(), output.end(), output_of_parts.begin(), output_of_parts.end()));
}

struct App {
  Stream* stream;
  uint64_t unread = 0;
  bool finished = false;
  bool peer_finished = false;
};

class Apps final : public SessionEvents {
 public:
  Apps(Role role, Script& script) : role_(role), script_(script), session_(role, {.max_windows = 2 << 20}, *this) {}
  ~Apps() {
    session_.EndAll([&](Stream& stream) { apps_.erase(stream.id()); });
  }

  void OnOpen(Stream& stream, const OpenRequest&) override {
    Require(role_ == Role::kServer && !ended_);
    Add(stream);
  }
  void OnData(Stream& stream, Bytes bytes) override {
    App& app = Of(stream);
    Require(!app.peer_finished && !bytes.empty());
    app.unread += bytes.size();
    Require(app.unread <= kMaxWindow);
    Sometimes(stream.id());
  }
  void OnRoom(Stream& stream) override {
    Require(!Of(stream).finished);
    Write(Of(stream), 1000);
  }
  void OnFin(Stream& stream) override {
    Require(!std::exchange(Of(stream).peer_finished, true));
    Sometimes(stream.id());
  }
  void OnReset(Stream& stream, ErrorCode) override {
    Of(stream);
    apps_.erase(stream.id());
  }
  void OnGoAway() override { Require(role_ == Role::kClient); }
  void OnOutput() override {}

  void Run() {
    while (!script_.ended() && !ended_) {
      Step();
      Require(session_.output().size() <= kMostOutput);
      Require(session_.open_streams() == apps_.size());
      uint64_t unread = 0;
      for (const auto& [id, app] : apps_) unread += app.unread;
      Require(unread <= std::max<uint64_t>(2 << 20, apps_.size() * uint64_t{kInitialWindow}));
    }
  }

 private:
  App& Of(Stream& stream) {
    App& app = apps_.at(stream.id());
    Require(app.stream == &stream && !ended_);
    return app;
  }
  void Add(Stream& stream) { Require(apps_.emplace(stream.id(), App{&stream}).second); }
  App* Chosen() {
    const uint32_t choice = script_.Byte();
    return apps_.empty() ? nullptr : &std::next(apps_.begin(), choice % apps_.size())->second;
  }
  Stream& Removed(App& app) {
    Stream& stream = *app.stream;
    apps_.erase(stream.id());
    return stream;
  }
  void Reset(App& app) { session_.Reset(Removed(app), ErrorCode::kReset); }
  void End() {
    ended_ = true;
    session_.EndAll([&](Stream& stream) {
      apps_.erase(stream.id());
      if (!apps_.empty()) Reset(apps_.begin()->second);
    });
    Require(apps_.empty());
  }
  // Inside of an event: the stream ends, or another, or all.
  void Sometimes(uint32_t id) {
    switch (reactions_++ % 8) {
      case 3:
        return Reset(apps_.at(id));
      case 5:
        return Reset(apps_.begin()->second);
      case 7:
        if (reactions_ % 64 == 0) End();
    }
  }
  void Write(App& app, size_t wanted) {
    if (app.finished) return;
    const std::span<std::byte> room = session_.Reserve(*app.stream);
    Require(room.size() <= kMaxPayload);
    const size_t size = std::min(room.size(), wanted);
    std::fill_n(room.begin(), size, std::byte{0x55});
    session_.Commit(*app.stream, size);
  }
  void Receive(const std::vector<std::byte>& input) {
    const size_t split = std::min<size_t>(script_.Byte(), input.size());
    for (const Bytes part : {Bytes(input).first(split), Bytes(input).subspan(split)}) {
      if (!ended_ && session_.Receive(part, now_us_) != ErrorCode::kNone) End();
    }
  }
  void ReceiveFrame() {
    constexpr uint32_t kLengths[] = {kHelloBytes, kOpenBytes, 0,          kCreditBytes, 0,
                                     kResetBytes, kPingBytes, kPingBytes, kGoAwayBytes};
    const uint32_t type = script_.Byte() % 9, stream = script_.Byte();
    const bool is_data = type == static_cast<uint32_t>(FrameType::kData);
    const uint32_t length = is_data ? script_.Number() * 2 : kLengths[type];
    std::vector<std::byte> frame = is_data ? std::vector<std::byte>(length) : script_.Take(length);
    // Of most values of its last byte OPEN has none that there is.
    if (type == static_cast<uint32_t>(FrameType::kOpen)) frame.back() &= std::byte{7};
    frame.insert(frame.begin(), kHeaderBytes, std::byte{0});
    WriteHeader(frame.data(), {length, static_cast<FrameType>(type), stream});
    Receive(frame);
  }
  void Step() {
    const uint32_t step = script_.Byte() % 12;
    App* const app = step >= 3 && step <= 7 ? Chosen() : nullptr;
    switch (step) {
      case 0:
        return Receive(script_.Take(script_.Byte()));
      case 1:
        return ReceiveFrame();
      case 2:
        return session_.Written(std::min<size_t>(script_.Number() * 16, session_.output().size()));
      case 3:
        if (app != nullptr) Write(*app, script_.Number() * 4);
        return;
      case 4:
        if (app != nullptr && !std::exchange(app->finished, true)) session_.Finish(*app->stream);
        return;
      case 5:
        if (app != nullptr) Reset(*app);
        return;
      case 6:
        if (app == nullptr || !app->finished || !app->peer_finished) return;
        return session_.Release(Removed(*app));
      case 7:
        if (app == nullptr) return;
        session_.Consumed(*app->stream, app->unread, now_us_);
        app->unread = 0;
        return;
      case 8:
        if (role_ != Role::kClient) return session_.GoAway(0);
        if (Stream* const stream = session_.Open({})) Add(*stream);
        return;
      case 9:
        now_us_ += script_.Number() * 100;
        return;
      case 10:
        return session_.FreeMemory();
      default:
        if (script_.Byte() == 0xff) End();
    }
  }

  const Role role_;
  Script& script_;
  std::map<uint32_t, App> apps_;
  int64_t now_us_ = 1;
  uint32_t reactions_ = 0;
  bool ended_ = false;
  Session session_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Script script(data, size);
  const uint32_t kind = script.Byte();
  const Role role = (kind & 1) != 0 ? Role::kServer : Role::kClient;
  if ((kind & 2) != 0) {
    const uint32_t split = script.Number();
    if (size > 3) ReceiveSplit(role, split, Bytes(reinterpret_cast<const std::byte*>(data + 3), size - 3));
  } else {
    Apps(role, script).Run();
  }
  return 0;
}
