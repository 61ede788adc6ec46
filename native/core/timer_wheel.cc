#include "timer_wheel.h"

#include <algorithm>

namespace weft::core {

void TimerWheel::Schedule(Timer& timer, int64_t deadline_us) {
  timer.Unlink();
  timer.tick_ = std::max(deadline_us / kTickUs, current_) + 1;
  Insert(timer);
}

void TimerWheel::Insert(Timer& timer) {
  (timer.tick_ - current_ < kSlots ? slots_[timer.tick_ % kSlots] : far_).PushBack(timer);
}

void TimerWheel::Advance(int64_t now_us) {
  const int64_t now = now_us / kTickUs;
  if (now - current_ > kSlots && NextUs() == kNever) current_ = now;  // nobody advances an empty wheel
  while (current_ < now) {
    current_++;
    if (current_ % kSlots == 0) {
      List<Timer, Timer> far;
      far.Append(far_);
      while (!far.empty()) Insert(far.PopFront());
    }
    List<Timer, Timer> due;
    due.Append(slots_[current_ % kSlots]);
    while (!due.empty()) due.PopFront().Expired();
  }
}

int64_t TimerWheel::NextUs() {
  for (int64_t tick = current_ + 1; tick < current_ + kSlots; tick++) {
    if (!far_.empty() && tick % kSlots == 0) return tick * kTickUs;
    if (!slots_[tick % kSlots].empty()) return tick * kTickUs;
  }
  return far_.empty() ? kNever : (current_ / kSlots + 1) * kSlots * kTickUs;
}

}  // namespace weft::core
