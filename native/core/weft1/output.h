// What is to be sent: frames one behind the other in one piece of memory, so that one write takes all of them.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <utility>

namespace weft::core::weft1 {

class Output {
 public:
  // Memory is taken in pieces of `least` bytes at the least.
  explicit Output(size_t least = 4096) : least_(least) {}

  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  std::span<const std::byte> bytes() const { return {memory_.get() + begin_, size()}; }

  // Room behind what is there. Valid until the next call.
  std::byte* Reserve(size_t bytes) {
    if (end_ + bytes > capacity_) MakeRoom(bytes);
    return memory_.get() + end_;
  }
  void Commit(size_t bytes) { end_ += bytes; }
  void Written(size_t bytes) {
    begin_ += bytes;
    if (!empty()) return;
    begin_ = end_ = 0;
    if (capacity_ > kKept) Free();
  }
  // An idle connection holds no memory.
  void Free() {
    if (!empty()) return;
    memory_.reset();
    capacity_ = 0;
  }

 private:
  static constexpr size_t kKept = 64 * 1024;

  void MakeRoom(size_t bytes) {
    size_t capacity = capacity_ < least_ ? least_ : capacity_;
    while (capacity < size() + bytes) capacity *= 2;
    std::unique_ptr<std::byte[]> memory =
        capacity == capacity_ ? nullptr : std::make_unique_for_overwrite<std::byte[]>(capacity);
    std::byte* const to = memory ? memory.get() : memory_.get();
    if (!empty()) memmove(to, memory_.get() + begin_, size());
    end_ = size();
    begin_ = 0;
    if (memory) memory_ = std::move(memory);
    capacity_ = capacity;
  }

  const size_t least_;
  std::unique_ptr<std::byte[]> memory_;
  size_t capacity_ = 0;
  size_t begin_ = 0;
  size_t end_ = 0;
};

}  // namespace weft::core::weft1
