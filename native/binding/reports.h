// What JavaScript is told of without being asked anything: records in memory that it reads, many by one call.
#pragma once

#include <nan.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace weft::binding {

template <typename Record>
class Reports {
 public:
  // As many as there is room for are told of at once.
  explicit Reports(std::shared_ptr<v8::BackingStore> memory)
      : memory_(std::move(memory)),
        records_(static_cast<Record*>(memory_->Data()), memory_->ByteLength() / sizeof(Record)) {}

  // What comes while those before it are being read waits.
  void Add(const Record& record) {
    if (telling_ || full()) return late_.push_back(record);
    records_[count_++] = record;
  }
  bool full() const { return count_ == records_.size(); }

  template <typename Tell>
  void TellAll(Tell tell) {
    if (std::exchange(telling_, true)) return;
    while (count_ > 0) {
      tell(static_cast<uint32_t>(count_));
      count_ = std::min(late_.size(), records_.size());
      const auto next = late_.begin() + static_cast<ptrdiff_t>(count_);
      std::copy(late_.begin(), next, records_.begin());
      late_.erase(late_.begin(), next);
    }
    telling_ = false;
  }

 private:
  const std::shared_ptr<v8::BackingStore> memory_;
  const std::span<Record> records_;
  size_t count_ = 0;
  std::vector<Record> late_;
  bool telling_ = false;
};

}  // namespace weft::binding
