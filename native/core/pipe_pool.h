// The pipes that splice(2) moves bytes through. Borrowed while bytes are in flight in one direction of a connection.
#pragma once

#include <cstdint>
#include <vector>

namespace weft::core {

struct Pipe {
  int read = -1;
  int write = -1;
  explicit operator bool() const { return read >= 0; }
};

class PipePool {
 public:
  PipePool(uint32_t limit, uint32_t bytes) : limit_(limit), bytes_(bytes) {}
  ~PipePool();
  PipePool(const PipePool&) = delete;
  PipePool& operator=(const PipePool&) = delete;

  uint32_t bytes() const { return bytes_; }
  uint32_t in_use() const { return existing_ - static_cast<uint32_t>(idle_.size()); }

  // No pipe when all are lent, or the system has none of a useful size.
  Pipe Borrow(int64_t now_us);
  void Return(Pipe pipe);
  // Of a pipe that still holds bytes.
  void Discard(Pipe pipe);

 private:
  Pipe Make();

  const uint32_t limit_;
  const uint32_t bytes_;
  uint32_t existing_ = 0;
  int64_t retry_us_ = 0;
  std::vector<Pipe> idle_;
};

}  // namespace weft::core
