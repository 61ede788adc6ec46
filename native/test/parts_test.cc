// The parts that need no sockets.
#include <cerrno>
#include <memory>
#include <set>
#include <vector>

#include "../core/id_sequence.h"
#include "../core/socket_stock.h"
#include "../core/source_addresses.h"
#include "../core/timer_wheel.h"
#include "check.h"
#include "sockets.h"

namespace weft::test {
namespace {

class RecordingTimer final : public core::Timer {
 public:
  void Expired() override { expired++; }
  int expired = 0;
};

TEST("timers expire once, never early, and late by a tick at most") {
  for (const int64_t start_us : {INT64_C(0), INT64_C(123'456'789), INT64_C(86'400'000'000)}) {
    for (const int64_t delay_us : {INT64_C(1), INT64_C(64'000), INT64_C(1'000'000), INT64_C(32'700'000),
                                   INT64_C(32'768'000), INT64_C(40'000'000), INT64_C(3'600'000'000)}) {
      core::TimerWheel wheel(start_us);
      RecordingTimer timer;
      wheel.Schedule(timer, start_us + delay_us);
      int64_t now_us = start_us;
      while (timer.expired == 0) {
        now_us = wheel.NextUs();
        CHECK(now_us != core::TimerWheel::kNever);
        wheel.Advance(now_us);
      }
      CHECK(now_us >= start_us + delay_us);
      CHECK(now_us <= start_us + delay_us + core::TimerWheel::kTickUs);
      CHECK_EQUAL(timer.expired, 1);
      CHECK_EQUAL(wheel.NextUs(), core::TimerWheel::kNever);
    }
  }
}

TEST("workers never choose the same source") {
  constexpr int kDraws = 2000;
  for (const uint32_t family : {4u, 6u}) {
    std::vector<std::set<uint8_t>> hosts;
    for (uint32_t slot = 0; slot < WEFT_MAX_WORKERS; slot++) {
      core::SourceAddresses sources(family, slot);
      std::set<std::pair<uint8_t, uint16_t>> places;
      std::set<uint8_t> own;
      for (int i = 0; i < kDraws; i++) {
        const Endpoint source = sources.Next();
        CHECK_EQUAL(core::FamilyOf(source.address), family);
        CHECK(source.port >= 1024);
        CHECK(source.address.bytes[15] >= 1 && source.address.bytes[15] <= 254);
        places.emplace(source.address.bytes[15], source.port);
        own.insert(source.address.bytes[15]);
      }
      CHECK_EQUAL(places.size(), static_cast<size_t>(kDraws));
      CHECK(own.size() >= 3);
      for (const std::set<uint8_t>& others : hosts) {
        for (const uint8_t host : own) CHECK(!others.contains(host));
      }
      hosts.push_back(std::move(own));
    }
  }
}

TEST("numbers begin anew after the last one, without 0 and without those that are in use") {
  core::IdSequence ids(UINT32_MAX - 2);
  std::vector<uint32_t> used{7, 2, 0, UINT32_MAX, 3, 2};
  int asked = 0;
  const auto next = [&] {
    return ids.Next([&](std::vector<uint32_t>& all) {
      asked++;
      all.insert(all.end(), used.begin(), used.end());
    });
  };
  for (const uint32_t before : {UINT32_MAX - 1, UINT32_MAX}) CHECK_EQUAL(next(), before);
  CHECK_EQUAL(asked, 0);
  for (const uint32_t after : {1u, 4u, 5u, 6u, 8u, 9u}) CHECK_EQUAL(next(), after);
  CHECK_EQUAL(asked, 1);
}

TEST("numbers: the first is 1") {
  core::IdSequence ids;
  CHECK_EQUAL(ids.Next([](std::vector<uint32_t>&) {}), 1u);
}

class MuteSupplier final : public core::SocketSupplier {
 public:
  bool Ask(const core::SocketStock&, uint32_t) override { return true; }
};

class RecordingWaiter final : public core::SocketWaiter {
 public:
  void Supplied(core::Descriptor, core::SourceAddresses&) override { supplied = true; }
  void NotSupplied(int failure) override { error = failure; }
  bool supplied = false;
  int error = 0;
};

TEST("a queue for sockets is full of those who wait, not of those who have given up") {
  constexpr size_t kMostWaiting = 4096;
  core::EventLoop loop;
  MuteSupplier supplier;
  core::SocketStock stock(loop, supplier, 1, 4, 0);
  std::vector<std::unique_ptr<RecordingWaiter>> waiters;
  for (size_t i = 0; i <= kMostWaiting; i++) stock.Provide(*waiters.emplace_back(std::make_unique<RecordingWaiter>()));
  CHECK_EQUAL(waiters.back()->error, EAGAIN);
  for (size_t i = 1; i < kMostWaiting; i++) waiters[i]->Unlink();
  RecordingWaiter late;
  stock.Provide(late);
  CHECK_EQUAL(late.error, 0);
  CHECK(late.linked());
  stock.Received({}, ENETDOWN);
  CHECK_EQUAL(late.error, ENETDOWN);
  CHECK_EQUAL(waiters.front()->error, ENETDOWN);
  CHECK_EQUAL(waiters[1]->error, 0);
}

class RecordingSupplier final : public core::SocketSupplier {
 public:
  bool Ask(const core::SocketStock&, uint32_t count) override {
    asked.push_back(count);
    return true;
  }
  std::vector<uint32_t> asked;
};

// As one whose socket is of no use, and that tries another place at once.
class AskingAnew final : public core::SocketWaiter {
 public:
  AskingAnew(core::SocketStock& stock, core::SocketWaiter& next) : stock_(stock), next_(next) {}
  void Supplied(core::Descriptor, core::SourceAddresses&) override { stock_.Provide(next_); }
  void NotSupplied(int) override {}

 private:
  core::SocketStock& stock_;
  core::SocketWaiter& next_;
};

TEST("a stock that has more sockets than it shall keep asks for none, although one waits") {
  constexpr size_t kGaveUp = 30;
  core::EventLoop loop;
  RecordingSupplier supplier;
  core::SocketStock stock(loop, supplier, 1, 4, 0);
  std::vector<RecordingWaiter> gave_up(kGaveUp);
  for (RecordingWaiter& waiter : gave_up) stock.Provide(waiter);
  std::vector<Descriptor> first(supplier.asked.back());
  stock.Received(first, 0);
  CHECK(supplier.asked.back() >= kGaveUp - first.size());
  for (RecordingWaiter& waiter : gave_up) waiter.Unlink();
  RecordingWaiter waiting, anew;
  AskingAnew asking(stock, anew);
  stock.Provide(asking);
  stock.Provide(waiting);
  const size_t asked = supplier.asked.size();
  std::vector<Descriptor> second(supplier.asked.back());
  stock.Received(second, 0);
  CHECK(waiting.supplied && anew.supplied);
  CHECK_EQUAL(supplier.asked.size(), asked);
}

}  // namespace
}  // namespace weft::test
