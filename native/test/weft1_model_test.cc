// Two sessions joined by wires that hold little and split at random, apps that read, write, finish and give up at
// random: every byte arrives in order, nothing waits for ever, and every bound holds at every step.
#include <algorithm>
#include <map>
#include <random>

#include "weft1_peers.h"

namespace weft::test {
namespace {

using weft1::ErrorCode;
using weft1::Limits;
using weft1::Role;
using weft1::Stream;

using Random = std::mt19937_64;

// No peer holds more than this of a session's output.
constexpr size_t kMostOutput = 1024 * 1024;

uint64_t Below(Random& random, uint64_t bound) { return random() % bound; }

// The byte that a side sends at an offset of a stream.
std::byte Expected(uint32_t stream, Role sender, uint64_t offset) {
  const uint64_t mixed = (stream * 2 + (sender == Role::kClient)) * 0x9e3779b97f4a7c15u + offset * 0xff51afd7ed558ccdu;
  return static_cast<std::byte>(mixed >> 56);
}

// What the apps at both ends of a stream should see; in arrays by the role of the sender.
struct Fate {
  uint64_t to_send[2];
  uint64_t received[2]{};
  bool fin_received[2]{};
  bool given_up = false;  // by either side, or refused: the rest may be missing
};
using Fates = std::map<uint32_t, Fate>;

struct App {
  Stream* stream;
  uint64_t sent = 0;
  uint64_t unread = 0;
  bool has_room = true;
  bool finished = false;
  bool peer_finished = false;
  bool slow;
};

class Side final : public weft1::SessionEvents {
 public:
  Side(Role role, const Limits& limits, Random& random, Fates& fates)
      : role_(role), limits_(limits), random_(random), fates_(fates), session(role, limits, *this) {}

  void OnOpen(Stream& stream, const weft1::OpenRequest& request) override {
    CHECK(role_ == Role::kServer);
    CHECK(Same(request.client, SomeRequest().client));
    Add(stream);
    if (Below(random_, 30) == 0) GiveUp(stream.id(), ErrorCode::kRefused);
  }
  void OnData(Stream& stream, Bytes bytes) override {
    App& app = Of(stream);
    CHECK(!app.peer_finished);
    uint64_t& offset = fates_.at(stream.id()).received[static_cast<int>(peer())];
    for (const std::byte byte : bytes) {
      if (byte != Expected(stream.id(), peer(), offset++)) throw std::runtime_error("a byte is wrong");
    }
    app.unread += bytes.size();
    if (!app.slow) Read(app, app.unread);
    if (may_give_up && Below(random_, 400) == 0) GiveUp(stream.id(), ErrorCode::kReset);
  }
  void OnFin(Stream& stream) override {
    App& app = Of(stream);
    CHECK(!app.peer_finished);
    app.peer_finished = true;
    fates_.at(stream.id()).fin_received[static_cast<int>(peer())] = true;
  }
  void OnReset(Stream& stream, ErrorCode code) override {
    Fate& fate = fates_.at(stream.id());
    // After GOAWAY, where no app has seen the stream.
    if (code == ErrorCode::kRefused) fate.given_up = true;
    CHECK(fate.given_up);
    apps_.erase(stream.id());
  }
  void OnRoom(Stream& stream) override {
    App& app = Of(stream);
    CHECK(!app.finished);
    app.has_room = true;
    if (Below(random_, 2) == 0) Write(stream.id(), app);
  }
  void OnGoAway() override { goes_away = true; }
  void OnOutput() override {}

  bool Open() {
    Stream* const stream = session.Open(SomeRequest());
    if (stream == nullptr) return false;
    const auto size = [&]() -> uint64_t {
      switch (Below(random_, 12)) {
        case 0:
          return 0;
        case 1:
          return Below(random_, 1'500'000);
        default:
          return Below(random_, 3000);
      }
    };
    fates_[stream->id()] = Fate{{size(), size()}};
    Add(*stream);
    return true;
  }

  // One thing that one app does. False when none can do anything.
  bool Act() {
    if (apps_.empty()) return false;
    auto at = apps_.lower_bound(static_cast<uint32_t>(Below(random_, apps_.rbegin()->first + 1)));
    for (size_t tried = 0; tried < apps_.size(); tried++, at++) {
      if (at == apps_.end()) at = apps_.begin();
      if (ActOf(at->first, at->second)) return true;
    }
    return false;
  }

  void CheckBounds() const {
    uint64_t unread = 0;
    for (const auto& [id, app] : apps_) {
      CHECK(app.unread <= weft1::kMaxWindow);
      unread += app.unread;
    }
    CHECK(unread <= std::max<uint64_t>(limits_.max_windows, apps_.size() * uint64_t{weft1::kInitialWindow}));
    CHECK_EQUAL(session.open_streams(), apps_.size());
    CHECK(session.output().size() <= kMostOutput);
  }
  size_t size() const { return apps_.size(); }

  bool may_give_up = true;
  bool goes_away = false;

 private:
  Role peer() const { return role_ == Role::kClient ? Role::kServer : Role::kClient; }
  App& Of(Stream& stream) {
    App& app = *static_cast<App*>(stream.context);
    CHECK(app.stream == &stream && &apps_.at(stream.id()) == &app);
    return app;
  }
  void Add(Stream& stream) {
    App& app = apps_[stream.id()];
    app.stream = &stream;
    app.slow = Below(random_, 4) == 0;
    stream.context = &app;
  }
  void Read(App& app, uint64_t bytes) {
    session.Consumed(*app.stream, bytes, now_us);
    app.unread -= bytes;
  }
  void GiveUp(uint32_t id, ErrorCode code) {
    fates_.at(id).given_up = true;
    session.Reset(*apps_.at(id).stream, code);
    apps_.erase(id);
  }
  void Write(uint32_t id, App& app) {
    const uint64_t left = fates_.at(id).to_send[static_cast<int>(role_)] - app.sent;
    if (left == 0) return;
    const std::span<std::byte> room = session.Reserve(*app.stream);
    if (room.empty()) {
      app.has_room = false;
      return;
    }
    CHECK(room.size() <= weft1::kMaxPayload);
    const uint64_t most = std::min<uint64_t>(left, room.size());
    const uint64_t size = Below(random_, 4) == 0 ? Below(random_, most + 1) : most;
    for (uint64_t i = 0; i < size; i++) room[i] = Expected(id, role_, app.sent + i);
    session.Commit(*app.stream, size);
    app.sent += size;
  }
  bool ActOf(uint32_t id, App& app) {
    if (app.finished && app.peer_finished && app.unread == 0) {
      session.Release(*app.stream);
      apps_.erase(id);
      return true;
    }
    if (may_give_up && Below(random_, 1000) == 0) {
      GiveUp(id, ErrorCode::kReset);
      return true;
    }
    if (app.unread > 0 && Below(random_, 2) == 0) {
      Read(app, 1 + Below(random_, app.unread));
      return true;
    }
    if (!app.finished && app.sent == fates_.at(id).to_send[static_cast<int>(role_)]) {
      session.Finish(*app.stream);
      app.finished = true;
      return true;
    }
    if (!app.finished && app.has_room) {
      Write(id, app);
      return true;
    }
    if (app.unread > 0) {
      Read(app, app.unread);
      return true;
    }
    return false;
  }

  const Role role_;
  const Limits limits_;
  Random& random_;
  Fates& fates_;
  std::map<uint32_t, App> apps_;

 public:
  weft1::Session session;
  int64_t now_us = 1;
};

// Bytes on their way in one direction; the wire holds little, so that writers block.
class Wire {
 public:
  explicit Wire(size_t capacity) : capacity_(capacity) {}

  bool Load(weft1::Session& from, Random& random) {
    const Bytes output = from.output();
    const size_t room = std::min(output.size(), capacity_ - bytes_.size());
    if (room == 0) return false;
    const size_t size = Below(random, 3) == 0 ? 1 + Below(random, room) : room;
    bytes_.insert(bytes_.end(), output.begin(), output.begin() + static_cast<ptrdiff_t>(size));
    from.Written(size);
    return true;
  }
  bool Deliver(Side& to, Random& random) {
    if (bytes_.empty()) return false;
    const size_t size = Below(random, 3) == 0 ? 1 + Below(random, std::min<size_t>(bytes_.size(), 20)) : bytes_.size();
    const Buffer part(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(size));
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(size));
    CHECK_EQUAL(Name(to.session.Receive(part, to.now_us)), "NONE");
    return true;
  }

 private:
  size_t capacity_;
  Buffer bytes_;
};

void Run(uint64_t seed, uint32_t streams) {
  Random random(seed);
  const Limits limits{.max_streams = static_cast<uint32_t>(8 + Below(random, 60)),
                      .max_windows = (1 + Below(random, 32)) << 20};
  Fates fates;
  Side client(Role::kClient, limits, random, fates), server(Role::kServer, limits, random, fates);
  client.may_give_up = server.may_give_up = seed % 2 == 0;
  const bool goes_away = seed % 5 == 0;
  Wire there(1 + Below(random, 200'000)), back(1 + Below(random, 200'000));
  int idle = 0;
  bool more = true;
  while (more || client.size() + server.size() > 0) {
    client.now_us = server.now_us += static_cast<int64_t>(Below(random, 200));
    bool moved = false;
    switch (Below(random, 7)) {
      case 0:
        moved = more && client.Open();
        if (goes_away && fates.size() == streams / 2) server.session.GoAway(0);
        break;
      case 1:
        moved = client.Act();
        break;
      case 2:
        moved = server.Act();
        break;
      case 3:
        moved = there.Load(client.session, random);
        break;
      case 4:
        moved = back.Load(server.session, random);
        break;
      case 5:
        moved = there.Deliver(server, random);
        break;
      case 6:
        moved = back.Deliver(client, random);
        break;
    }
    client.CheckBounds();
    server.CheckBounds();
    idle = moved ? 0 : idle + 1;
    more = fates.size() < streams && !client.goes_away;
    // Every kind of step has been tried often enough by then: nothing can move, though streams are open.
    if (idle > 1000) throw std::runtime_error("dead-lock");
  }
  CHECK(fates.size() >= streams / 2);
  for (const auto& [id, fate] : fates) {
    if (fate.given_up) continue;
    for (const int role : {0, 1}) {
      CHECK_EQUAL(fate.received[role], fate.to_send[role]);
      CHECK(fate.fin_received[role]);
    }
  }
}

TEST("weft/1: thousands of random streams arrive exactly, without dead-lock, within all bounds") {
  for (uint64_t seed = 1; seed <= 30; seed++) {
    try {
      Run(seed, 100);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error("seed " + std::to_string(seed) + ": " + error.what());
    }
  }
}

}  // namespace
}  // namespace weft::test
