// Bytes that a socket has not taken yet, in the order in which they came.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace weft::core {

class Backlog {
 public:
  Backlog() = default;
  ~Backlog() { Clear(); }
  Backlog(const Backlog&) = delete;
  Backlog& operator=(const Backlog&) = delete;

  bool empty() const { return first_ == nullptr; }
  void Append(std::span<const std::byte> bytes);
  // Sends what the socket takes. How many bytes that was, or -1 with errno.
  ssize_t SendTo(int socket);
  // The first of what waits, in one piece; empty: nothing does. Taken() takes from there.
  std::span<const std::byte> front() const {
    if (empty()) return {};
    return {first_->bytes.get() + first_->begin, first_->end - first_->begin};
  }
  void Taken(size_t bytes);
  void Clear();

 private:
  // Blocks of their own, so that what waits is never moved.
  struct Block {
    std::unique_ptr<Block> next;
    std::unique_ptr<std::byte[]> bytes;
    uint32_t begin;
    uint32_t end;
    uint32_t capacity;
  };

  static constexpr size_t kLeastBlock = 4096;
  static constexpr int kBlocksPerCall = 8;

  std::unique_ptr<Block> first_;
  Block* last_ = nullptr;
};

}  // namespace weft::core
