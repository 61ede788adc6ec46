#include "frame_inspector.h"

#include <algorithm>
#include <cstring>

#include "library.h"

namespace weft::core::http2 {
namespace {

constexpr uint32_t kMostPadding = 256;       // with its length
constexpr uint32_t kMostContinuations = 16;  // of one head
constexpr uint32_t kMostPayload = 16384;     // we announce no other

}  // namespace

FrameInspector::FrameInspector(bool of_clients, FloodGuard& guard)
    : of_clients_(of_clients), guard_(guard), skip_(of_clients ? NGHTTP2_CLIENT_MAGIC_LEN : 0) {}

size_t FrameInspector::Inspect(std::span<const std::byte> bytes, int64_t now_us) {
  size_t at = 0;
  while (at < bytes.size()) {
    const size_t left = bytes.size() - at;
    if (skip_ > 0) {
      const size_t size = std::min<size_t>(skip_, left);
      skip_ -= static_cast<uint32_t>(size);
      at += size;
      continue;
    }
    const size_t size = std::min<size_t>(kHeader - header_bytes_, left);
    memcpy(header_.data() + header_bytes_, bytes.data() + at, size);
    header_bytes_ += static_cast<uint32_t>(size);
    if (header_bytes_ < kHeader) return bytes.size();
    error_ = Judge(now_us);
    if (error_ != ErrorCode::kNoError) return at;
    header_bytes_ = 0;
    at += size;
  }
  return at;
}

ErrorCode FrameInspector::Judge(int64_t now_us) {
  skip_ = static_cast<uint32_t>(header_[0] << 16 | header_[1] << 8 | header_[2]);
  const uint8_t type = header_[3], flags = header_[4];
  const auto stream = static_cast<int32_t>((header_[5] & 0x7fu) << 24 |
                                           static_cast<uint32_t>(header_[6] << 16 | header_[7] << 8) | header_[8]);
  // Of CONTINUATION nghttp2 does not look at it.
  if (skip_ > kMostPayload) return ErrorCode::kFrameSizeError;
  bool calm = true;
  bool ends = (flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (type != NGHTTP2_CONTINUATION) continuations_ = 0;
  switch (type) {
    case NGHTTP2_DATA: {
      if (IsEnded(stream)) return ErrorCode::kStreamClosed;
      const bool empty = skip_ == 0 || ((flags & NGHTTP2_FLAG_PADDED) != 0 && skip_ <= kMostPadding);
      calm = !empty || ends || guard_.EmptyData(now_us);
      break;
    }
    case NGHTTP2_HEADERS: {
      if (IsEnded(stream)) return ErrorCode::kStreamClosed;
      if (const ErrorCode error = JudgeOrder(stream); error != ErrorCode::kNoError) return error;
      calm = guard_.Control(now_us);
      break;
    }
    case NGHTTP2_RST_STREAM:
      ends = true;
      calm = !of_clients_ || guard_.Reset(now_us);
      break;
    case NGHTTP2_SETTINGS:
      ends = false;
      calm = guard_.Settings(now_us);
      break;
    case NGHTTP2_CONTINUATION:
      ends = false;
      calm = ++continuations_ <= kMostContinuations && guard_.Control(now_us);
      break;
    default:
      ends = false;
      calm = guard_.Control(now_us);
  }
  if (ends && stream != 0 && !IsEnded(stream)) ended_[next_ended_++ % ended_.size()] = stream;
  return calm ? ErrorCode::kNoError : ErrorCode::kEnhanceYourCalm;
}

// nghttp2 takes what a client has passed over for streams that are closed.
ErrorCode FrameInspector::JudgeOrder(int32_t stream) {
  if (!of_clients_) return ErrorCode::kNoError;
  if (stream <= last_stream_) {
    return stream >= skipped_from_ && stream < skipped_to_ ? ErrorCode::kProtocolError : ErrorCode::kNoError;
  }
  if (stream > last_stream_ + 2) {
    skipped_from_ = last_stream_ + 1;
    skipped_to_ = stream;
  }
  last_stream_ = stream;
  return ErrorCode::kNoError;
}

bool FrameInspector::IsEnded(int32_t stream) const {
  return of_clients_ && stream != 0 && std::ranges::find(ended_, stream) != ended_.end();
}

}  // namespace weft::core::http2
