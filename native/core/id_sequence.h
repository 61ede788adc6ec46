// Numbers that tell apart what is open at one time. They count on, so what has ended is rarely taken for what came
// after it; after 2^32 they begin anew, and pass over those that are still in use. 0 is nobody's.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace weft::core {

class IdSequence {
 public:
  explicit IdSequence(uint32_t last = 0) : last_(last) {}

  // `add_used` adds all that are in use to a vector, in any order. It is asked once in 2^32 numbers: what is given out
  // later is greater than all before it.
  template <typename AddUsed>
  uint32_t Next(AddUsed add_used) {
    do {
      if (++last_ == 0) Restart(add_used);
    } while (TakeIfUsed());
    return last_;
  }

 private:
  template <typename AddUsed>
  void Restart(AddUsed add_used) {
    used_ = {0};
    add_used(used_);
    std::ranges::sort(used_, std::greater<>());
    const auto repeated = std::ranges::unique(used_);
    used_.erase(repeated.begin(), repeated.end());
  }

  bool TakeIfUsed() {
    if (used_.empty() || used_.back() != last_) return false;
    used_.pop_back();
    return true;
  }

  uint32_t last_;
  std::vector<uint32_t> used_;  // as they began anew, and not reached yet: the least is the last
};

}  // namespace weft::core
