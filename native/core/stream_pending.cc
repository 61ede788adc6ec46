#include "stream_pending.h"

#include <utility>

#include "http/detect.h"

namespace weft::core {

StreamPending::StreamPending(const StreamPendingContext& context, const Identity& identity, int64_t accepted_us,
                             PeerStream& stream)
    : Connection(identity, accepted_us), context_(context), stream_(&stream) {}

void StreamPending::Classify(uint32_t timeout_ms) {
  context_.loop.Schedule(*this, context_.loop.now_us() + int64_t{timeout_ms} * 1000);
}

PeerStream& StreamPending::TakeStream() {
  Timer::Unlink();
  closed_ = true;
  return *std::exchange(stream_, nullptr);
}

void StreamPending::Arrived(std::span<const std::byte> bytes) {
  if (closed_) return;
  bytes_ = bytes;
  if (!collected_.empty()) {
    collected_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    bytes_ = std::as_bytes(std::span(collected_));
  }
  if (const auto detected = http::Detect(bytes_)) return Classified(*detected);
  if (collected_.empty()) collected_.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  bytes_ = std::as_bytes(std::span(collected_));
}

// What came so far may be all: the server may have something to say all the same.
void StreamPending::PeerFinished() {
  ended_ = true;
  if (!closed_) Classified(Detected::kPlaintext);
}

void StreamPending::PeerReset(int error) {
  stream_ = nullptr;
  Close(CloseReason::kResetByClient, error);
}

void StreamPending::Classified(Detected detected) {
  identity_.detected = detected;
  context_.classifier.Classified(*this);
}

void StreamPending::Close(CloseReason reason, int error) {
  if (std::exchange(closed_, true)) return;
  reason_ = reason;
  error_ = error;
  Timer::Unlink();
  if (PeerStream* const stream = std::exchange(stream_, nullptr)) stream->Reset();
  context_.owner.Closed(*this);
}

Outcome StreamPending::outcome() const {
  const int64_t lasted_us = context_.loop.now_us() - accepted_us_;
  return {reason_, static_cast<uint32_t>(error_), 0, 0, static_cast<double>(lasted_us) / 1000};
}

}  // namespace weft::core
