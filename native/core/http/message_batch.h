// What one reading of the one side gives to write to the other, in one call. The parts stay where they are, so it is
// flushed before those who gave them go on. One batch is everybody's: it is of one stream at a time.
#pragma once

#include <array>
#include <cassert>
#include <string_view>

#include "../http1/writer.h"
#include "byte_stream.h"

namespace weft::core::http {

class MessageBatch {
 public:
  void Add(ByteStream& to, std::string_view part) {
    if (part.empty()) return;
    assert(count_ == 0 || to_ == &to);
    if (count_ == parts_.size()) Flush(to);
    to_ = &to;
    parts_[count_++] = part;
  }
  void AddChunk(ByteStream& to, std::string_view data) {
    if (count_ + 3 > parts_.size() || chunks_ == heads_.size()) Flush(to);
    heads_[chunks_] = http1::ChunkHead(data.size());
    Add(to, heads_[chunks_++].text());
    Add(to, data);
    Add(to, http1::kChunkEnd);
  }
  void AddBody(ByteStream& to, std::string_view data, bool chunked) { chunked ? AddChunk(to, data) : Add(to, data); }
  void Flush(ByteStream& to) {
    if (count_ > 0 && to_ == &to) to.Write(std::span(parts_.data(), count_));
    Clear();
  }
  // Of a stream that ends.
  void Drop(const ByteStream& to) {
    if (to_ == &to) Clear();
  }

 private:
  void Clear() {
    count_ = chunks_ = 0;
    to_ = nullptr;
  }

  ByteStream* to_ = nullptr;
  std::array<std::string_view, 32> parts_;
  std::array<http1::ChunkHead, 10> heads_;
  size_t count_ = 0;
  size_t chunks_ = 0;
};

}  // namespace weft::core::http
