// Sees the header of every frame before nghttp2 does, which shows none that it drops. Counts what is free for its
// sender, and knows what a client may do to which stream, without a memory for each stream that has ended.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "error_code.h"
#include "flood_guard.h"

namespace weft::core::http2 {

class FrameInspector {
 public:
  FrameInspector(bool of_clients, FloodGuard& guard);

  // How many of the bytes are fine. Fewer than there are: error() says what the next frame is.
  size_t Inspect(std::span<const std::byte> bytes, int64_t now_us);
  ErrorCode error() const { return error_; }

 private:
  static constexpr size_t kHeader = 9;

  ErrorCode Judge(int64_t now_us);
  ErrorCode JudgeOrder(int32_t stream);
  bool IsEnded(int32_t stream) const;

  const bool of_clients_;
  FloodGuard& guard_;
  ErrorCode error_ = ErrorCode::kNoError;
  std::array<uint8_t, kHeader> header_{};
  uint32_t header_bytes_ = 0;
  uint32_t continuations_ = 0;  // in succession
  uint32_t skip_ = 0;           // of the client's preface, or of a payload

  int32_t last_stream_ = 0;                    // that the client has opened
  int32_t skipped_from_ = 0, skipped_to_ = 0;  // what it has last passed over
  // The last that the client has finished. What it still sends on them is its error.
  std::array<int32_t, 8> ended_{};
  uint32_t next_ended_ = 0;
};

}  // namespace weft::core::http2
