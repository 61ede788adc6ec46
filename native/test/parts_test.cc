// The parts that need no sockets.
#include <cerrno>
#include <memory>
#include <set>
#include <vector>

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

}  // namespace
}  // namespace weft::test
