// Many connections at once with random sizes, half-closes, resets and slow readers. Every byte is checked on arrival:
// who receives knows from the connection's number what must come. Clients and apps live on one thread with one epoll.
#include "storm.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <random>

#include "check.h"
#include "mesh.h"

namespace weft::test {

uint32_t storm_connections = 10'000;

namespace {

constexpr auto kStormPatience = std::chrono::seconds(60);
constexpr uint32_t kAtOnce = 300;
constexpr size_t kBlock = 65536;

// What one side of a connection does; a function of the connection's number.
struct Plan {
  size_t bytes;
  bool waits_for_fin;  // before it sends its own
  bool reads_slowly;
  bool resets;  // once half of its bytes are sent
  uint32_t seed;
};

Plan PlanOf(uint32_t number, bool client) {
  std::mt19937 random(number * 2 + (client ? 1 : 0));
  const auto one_in = [&](uint32_t n) { return random() % n == 0; };
  Plan plan{};
  plan.bytes = 4 + (one_in(20) ? random() % 2'000'000 : one_in(4) ? random() % 60'000 : random() % 2'000);
  plan.waits_for_fin = !client && one_in(2);
  plan.reads_slowly = one_in(10);
  plan.resets = one_in(15);
  plan.seed = number * 2 + (client ? 1 : 0);
  return plan;
}

uint8_t ByteAt(uint32_t seed, size_t offset) {
  const uint64_t mixed = (offset / 7 + 1) * 0x9e3779b97f4a7c15u + seed * 0xbf58476d1ce4e5b9u;
  return static_cast<uint8_t>((mixed >> 40) + offset);
}

class Peer {
 public:
  Peer(Descriptor socket, bool client) : socket_(std::move(socket)), client_(client) { SetNonBlocking(socket_, true); }

  void Plan(uint32_t number) {
    planned_ = true;
    number_ = number;
    plan_ = PlanOf(number, client_);
    theirs_ = PlanOf(number, !client_);
  }

  int descriptor() const { return socket_.get(); }
  bool done() const { return !socket_; }
  bool slow() const { return planned_ && plan_.reads_slowly; }

  // Does what it can now.
  void Act() {
    if (!done()) Read();
    if (!done() && planned_) Write();
    if (!done() && fin_sent_ && fin_seen_) socket_.Reset();
  }

 private:
  bool MayBeCut() const { return plan_.resets || theirs_.resets; }

  void Read() {
    static std::array<uint8_t, kBlock> buffer;
    const size_t most = slow() ? 3000 : buffer.size();
    for (int rounds = slow() ? 1 : 4; rounds > 0 && !fin_seen_; rounds--) {
      // The first four bytes tell an app which connection it is.
      const size_t room = planned_ ? most : 4 - received_;
      const ssize_t got = recv(socket_.get(), buffer.data(), room, 0);
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) return Ended(got < 0 ? errno : 0);
      Take(buffer.data(), static_cast<size_t>(got));
    }
  }

  void Take(const uint8_t* bytes, size_t count) {
    if (!planned_) {
      memcpy(reinterpret_cast<uint8_t*>(&number_) + received_, bytes, count);
      received_ += count;
      if (received_ == 4) Plan(number_);
      return;
    }
    for (size_t i = 0; i < count; i++, received_++) {
      const uint8_t number_byte = received_ < 4 ? static_cast<uint8_t>(number_ >> (8 * received_)) : 0;
      const uint8_t expected = received_ < 4 ? number_byte : ByteAt(theirs_.seed, received_);
      if (bytes[i] != expected) throw std::runtime_error("a byte is wrong at " + std::to_string(received_));
    }
    CHECK(received_ <= theirs_.bytes);
  }

  void Ended(int error) {
    if (!planned_) {  // reset before it said who it is
      socket_.Reset();
      return;
    }
    if (error != 0) {
      CHECK(error == ECONNRESET || error == EPIPE);
      CHECK(MayBeCut());
      socket_.Reset();
      return;
    }
    CHECK_EQUAL(received_, theirs_.bytes);
    fin_seen_ = true;
  }

  void Write() {
    static std::array<uint8_t, kBlock> buffer;
    const size_t end = plan_.resets ? plan_.bytes / 2 : plan_.bytes;
    for (int rounds = 0; rounds < 4 && sent_ < end; rounds++) {
      const size_t count = std::min(buffer.size(), end - sent_);
      for (size_t i = 0; i < count; i++) {
        const size_t offset = sent_ + i;
        buffer[i] = offset < 4 ? static_cast<uint8_t>(number_ >> (8 * offset)) : ByteAt(plan_.seed, offset);
      }
      const ssize_t put = send(socket_.get(), buffer.data(), count, MSG_NOSIGNAL);
      if (put < 0 && errno == EAGAIN) return;
      if (put < 0) return Ended(errno);
      sent_ += static_cast<size_t>(put);
    }
    if (sent_ < end) return;
    if (plan_.resets) {
      Reset(socket_);
    } else if (!fin_sent_ && (!plan_.waits_for_fin || fin_seen_)) {
      if (shutdown(socket_.get(), SHUT_WR) != 0) return Ended(errno == ENOTCONN ? ECONNRESET : errno);
      fin_sent_ = true;
    }
  }

  Descriptor socket_;
  const bool client_;
  bool planned_ = false;
  bool fin_sent_ = false;
  bool fin_seen_ = false;
  uint32_t number_ = 0;
  size_t received_ = 0;
  size_t sent_ = 0;
  struct Plan plan_ {};
  struct Plan theirs_ {};
};

class Storm {
 public:
  Storm(const Endpoint& entry, const Descriptor& app, uint32_t connections)
      : entry_(entry), app_(app), connections_(connections), epoll_(epoll_create1(EPOLL_CLOEXEC)) {
    SetNonBlocking(app, true);
    Watch(app.get(), EPOLLIN, nullptr);
  }

  void Run() {
    const auto deadline = std::chrono::steady_clock::now() + kStormPatience;
    while (started_ < connections_ || active_ > 0) {
      if (std::chrono::steady_clock::now() > deadline) {
        throw std::runtime_error("after a minute " + std::to_string(active_) + " peers are not done");
      }
      while (started_ < connections_ && active_ < 2 * kAtOnce) Start();
      epoll_event events[256];
      const int count = epoll_wait(epoll_.get(), events, 256, 100);
      for (int i = 0; i < count; i++) {
        if (events[i].data.ptr == nullptr) {
          AcceptAll();
        } else {
          Act(*static_cast<Peer*>(events[i].data.ptr));
        }
      }
    }
  }

 private:
  void Watch(int fd, uint32_t events, Peer* peer) {
    epoll_event event{events, {.ptr = peer}};
    CHECK(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0);
  }

  void Start() {
    Add(Connected(entry_), true).Plan(started_++);
    Act(peers_.back());
  }

  void AcceptAll() {
    for (;;) {
      Descriptor socket(accept4(app_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) return;
      Act(Add(std::move(socket), false));
    }
  }

  Peer& Add(Descriptor socket, bool client) {
    peers_.emplace_back(std::move(socket), client);
    active_++;
    Watch(peers_.back().descriptor(), EPOLLIN | EPOLLOUT, &peers_.back());
    return peers_.back();
  }

  void Act(Peer& peer) {
    if (peer.done()) return;
    // Level-triggered and always writable: slow readers are looked at about every tenth time.
    if (peer.slow() && random_() % 10 != 0) return;
    peer.Act();
    if (peer.done()) active_--;
  }

  const Endpoint entry_;
  const Descriptor& app_;
  const uint32_t connections_;
  Descriptor epoll_;
  std::deque<Peer> peers_;
  std::mt19937 random_{1};
  uint32_t started_ = 0;
  uint32_t active_ = 0;
};

}  // namespace

void RunStorm(const Endpoint& entry, const Descriptor& app, uint32_t connections) {
  Storm(entry, app, connections).Run();
}

namespace {

TEST("a storm of random connections") {
  MeshOptions options;
  options.pipes = 8;
  options.decision.connect_timeout_ms = 30'000;
  options.decision.idle_timeout_ms = 30'000;
  Mesh mesh(options);
  RunStorm(mesh.endpoint(), mesh.app, storm_connections);
  EVENTUALLY(mesh.statistics().connections == 0);
  CHECK_EQUAL(mesh.ended_count(), storm_connections);
  CHECK_EQUAL(mesh.statistics().accepted, uint64_t{storm_connections});
  CHECK_EQUAL(mesh.statistics().pipes_in_use, 0u);
}

}  // namespace
}  // namespace weft::test
