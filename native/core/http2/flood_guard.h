// Tells a peer that costs more than it brings from one that is busy. Each kind of frame that is free for the sender has
// a rate; streams that are served and bodies that are carried earn more, so that a busy connection's own frames never
// run out.
#pragma once

#include <algorithm>

#include "limits.h"

namespace weft::core::http2 {

// Counted as the time at which what came would be due at the rate allowed.
class RateGuard {
 public:
  explicit RateGuard(Rate rate)
      : cost_us_(1'000'000 / std::max(1u, rate.per_second)), burst_us_(cost_us_ * rate.burst) {}

  // False: too many.
  bool Take(int64_t now_us) {
    due_us_ = std::max(due_us_, now_us) + cost_us_;
    return due_us_ - now_us <= burst_us_;
  }
  void Earn(int64_t count) { due_us_ -= count * cost_us_; }

 private:
  int64_t cost_us_;
  int64_t burst_us_;
  int64_t due_us_ = 0;
};

class FloodGuard {
 public:
  explicit FloodGuard(const Limits& limits)
      : settings_(limits.settings), resets_(limits.resets), empty_data_(limits.empty_data), control_(limits.control) {}

  bool Settings(int64_t now_us) { return settings_.Take(now_us); }
  bool Reset(int64_t now_us) { return resets_.Take(now_us); }
  bool EmptyData(int64_t now_us) { return empty_data_.Take(now_us); }
  bool Control(int64_t now_us) { return control_.Take(now_us); }

  // gRPC clients measure the path with a PING for every few frames of a body.
  void Data() {
    control_.Earn(4);
    empty_data_.Earn(1);
  }
  // Every second stream of a client that is otherwise served may end early.
  void StreamServed() {
    control_.Earn(4);
    resets_.Earn(1);
  }

 private:
  RateGuard settings_, resets_, empty_data_, control_;
};

}  // namespace weft::core::http2
