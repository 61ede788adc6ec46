// What one reading of the one side gives to write to the other, in one call. The parts stay where they are, so it is
// flushed before those who gave them go on.
#pragma once

#include <array>
#include <string_view>

#include "../http1/writer.h"
#include "byte_stream.h"

namespace weft::core::http {

class MessageBatch {
 public:
  explicit MessageBatch(ByteStream& to) : to_(to) {}

  void Add(std::string_view part) {
    if (part.empty()) return;
    if (count_ == parts_.size()) Flush();
    parts_[count_++] = part;
  }
  void AddChunk(std::string_view data) {
    if (count_ + 3 > parts_.size() || chunks_ == heads_.size()) Flush();
    heads_[chunks_] = http1::ChunkHead(data.size());
    Add(heads_[chunks_++].text());
    Add(data);
    Add(http1::kChunkEnd);
  }
  void AddBody(std::string_view data, bool chunked) { chunked ? AddChunk(data) : Add(data); }
  void Flush() {
    if (count_ > 0) to_.Write(std::span(parts_.data(), count_));
    count_ = chunks_ = 0;
  }

 private:
  ByteStream& to_;
  std::array<std::string_view, 32> parts_;
  std::array<http1::ChunkHead, 10> heads_;
  size_t count_ = 0;
  size_t chunks_ = 0;
};

}  // namespace weft::core::http
