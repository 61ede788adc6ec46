// Deadlines, coarse and cheap: a connection's timer is put in and taken out in constant time, and most are taken out
// again.
#pragma once

#include <array>
#include <cstdint>

#include "list.h"

namespace weft::core {

class Timer : public Link<Timer> {
 public:
  virtual void Expired() = 0;

 protected:
  ~Timer() = default;

 private:
  friend class TimerWheel;
  int64_t tick_ = 0;
};

class TimerWheel {
 public:
  static constexpr int64_t kTickUs = 64'000;
  static constexpr int64_t kNever = INT64_MAX;

  explicit TimerWheel(int64_t now_us) : current_(now_us / kTickUs) {}

  // Never early, and late by one tick at most. A scheduled timer is moved.
  void Schedule(Timer& timer, int64_t deadline_us);
  void Advance(int64_t now_us);
  // When Advance() has something to do next, or kNever.
  int64_t NextUs();

  static int64_t DeadlineUs(const Timer& timer) { return timer.linked() ? timer.tick_ * kTickUs : kNever; }

 private:
  static constexpr int64_t kSlots = 512;

  void Insert(Timer& timer);

  std::array<List<Timer, Timer>, kSlots> slots_;
  // Beyond one turn of the wheel; looked through once per turn.
  List<Timer, Timer> far_;
  int64_t current_;
};

}  // namespace weft::core
