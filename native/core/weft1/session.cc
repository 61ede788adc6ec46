#include "session.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weft::core::weft1 {
namespace {

constexpr size_t kHighWater = 512 * 1024;  // of the output
constexpr size_t kLowWater = 256 * 1024;
// Above both what all streams may have there and what they can need for control: the peer does not read.
constexpr size_t kMostOutput = 2 * kHighWater;
constexpr size_t kMostOutputToOpen = kHighWater + 2 * kMaxPayload;  // more than DATA alone makes
// What one stream may add to the output in a round: a stream waits for twice as much of each other one at most.
// With its header such a frame fills whole records of TLS: a few bytes more would cost a record and a packet of their
// own.
constexpr uint32_t kMostOfOneStream = kMaxPayload - kHeaderBytes;
// For the same reason the last bytes of a window wait for the credit that is under way (RFC 9293, 3.8.6.2.1).
constexpr uint32_t kLeastWindow = 4096;
// Control frames cost their sender nothing, so it may send 100,000 a second, and as many at once.
constexpr int64_t kControlFrameUs = 10;
constexpr int64_t kControlBurstUs = 1'000'000;
constexpr uint32_t kPeerStreamsBeforeHello = 256;
// Who uses up a window faster than this could do with a larger one.
constexpr int64_t kFastUs = 50'000;

}  // namespace

Session::Session(Role role, const Limits& limits, SessionEvents& events)
    : role_(role), limits_(limits), events_(events), peer_max_streams_(kPeerStreamsBeforeHello) {
  std::byte* hello = Put(FrameType::kHello, 0, kHelloBytes);
  WriteU32(hello, uint32_t{kVersion} << 16);
  WriteU32(hello + 4, limits.max_streams);
}

std::byte* Session::Put(FrameType type, uint32_t stream, uint32_t length) {
  const bool was_empty = output_.empty();
  std::byte* const frame = output_.Reserve(kHeaderBytes + length);
  WriteHeader(frame, {length, type, stream});
  output_.Commit(kHeaderBytes + length);
  if (was_empty) events_.OnOutput();
  return frame + kHeaderBytes;
}

void Session::Written(size_t bytes) {
  output_.Written(bytes);
  // A round ends when all is written that was there at its beginning.
  round_left_ -= std::min(bytes, round_left_);
  if (round_left_ == 0) {
    round_++;
    round_left_ = output_.size();
  }
  if (output_.size() > kLowWater) return;
  List<Stream, Stream> waiting;
  waiting.Append(waiting_);
  serves_waiting_ = true;
  while (!waiting.empty() && output_.size() < kHighWater) events_.OnRoom(waiting.PopFront());
  serves_waiting_ = false;
  // Who had no turn comes before those who had and wait again.
  waiting.Append(waiting_);
  waiting_.Append(waiting);
}

Stream* Session::Find(uint32_t id) {
  const auto found = streams_.find(id);
  return found == streams_.end() ? nullptr : found->second.get();
}

void Session::Remove(Stream& stream) {
  if (receiving_ == &stream) receiving_ = nullptr;
  windows_ -= stream.window_;
  streams_.erase(stream.id_);
}

bool Session::can_open() const {
  return !ended_ && !going_away_ && streams_.size() < peer_max_streams_ && last_stream_ < UINT32_MAX &&
         output_.size() < kMostOutputToOpen;
}

Stream* Session::Open(const OpenRequest& request) {
  if (!can_open()) return nullptr;
  const uint32_t id = ++last_stream_;
  WriteOpen(Put(FrameType::kOpen, id, kOpenBytes), request);
  windows_ += kInitialWindow;
  return streams_.emplace(id, std::unique_ptr<Stream>(new Stream(id))).first->second.get();
}

void Session::GoAway(int64_t refuses_from_us) {
  if (std::exchange(gone_away_, true) && refuses_from_us >= refuses_from_us_) return;
  refuses_from_us_ = refuses_from_us;
  WriteU32(Put(FrameType::kGoAway, 0, kGoAwayBytes), refuses_from_us == kNever ? UINT32_MAX : last_stream_);
}

std::span<std::byte> Session::Reserve(Stream& stream) {
  if (stream.round_ != round_) {
    stream.round_ = round_;
    stream.queued_ = 0;
  }
  const uint32_t share = kMostOfOneStream - std::min(stream.queued_, kMostOfOneStream);
  const uint32_t room = std::min(stream.send_window_, share);
  if (stream.send_window_ < kLeastWindow) return {};
  const bool overtakes = !serves_waiting_ && !waiting_.empty() && output_.size() > kLowWater;
  if (room == 0 || overtakes || output_.size() >= kHighWater) {
    if (!stream.linked()) waiting_.PushBack(stream);
    return {};
  }
  return {output_.Reserve(kHeaderBytes + room) + kHeaderBytes, room};
}

void Session::Commit(Stream& stream, size_t bytes) {
  if (bytes == 0) return;
  const bool was_empty = output_.empty();
  const auto length = static_cast<uint32_t>(bytes);
  WriteHeader(output_.Reserve(kHeaderBytes + bytes), {length, FrameType::kData, stream.id_});
  output_.Commit(kHeaderBytes + bytes);
  stream.send_window_ -= length;
  stream.queued_ += length;
  if (was_empty) events_.OnOutput();
}

// Given back by halves of the window, so that a frame of credit pays for many of data. A stream that gets through its
// window fast gets a larger one while the connection's bound allows it; but not where the user is behind: more would
// only lie here.
void Session::Consumed(Stream& stream, size_t bytes, int64_t now_us) {
  stream.held_ -= static_cast<uint32_t>(bytes);
  stream.consumed_ += static_cast<uint32_t>(bytes);
  if (stream.peer_finished_ || stream.consumed_ < stream.window_ / 2) return;
  uint32_t credit = std::exchange(stream.consumed_, 0);
  const bool fast = stream.credited_us_ != 0 && now_us - stream.credited_us_ < kFastUs;
  stream.credited_us_ = now_us;
  const bool behind = stream.held_ >= stream.window_ / 4;
  if (fast && !behind && stream.window_ < kMaxWindow && windows_ + stream.window_ <= limits_.max_windows) {
    credit += stream.window_;
    windows_ += stream.window_;
    stream.window_ *= 2;
  }
  stream.receive_window_ += credit;
  WriteU32(Put(FrameType::kCredit, stream.id_, kCreditBytes), credit);
}

void Session::Finish(Stream& stream) {
  if (std::exchange(stream.finished_, true)) return;
  stream.Unlink();  // it needs no room any more
  Put(FrameType::kFin, stream.id_, 0);
}

void Session::Reset(Stream& stream, ErrorCode code) {
  WriteU32(Put(FrameType::kReset, stream.id_, kResetBytes), static_cast<uint32_t>(code));
  Remove(stream);
}

ErrorCode Session::Receive(std::span<const std::byte> bytes, int64_t now_us) {
  now_us_ = now_us;
  while (!bytes.empty() && !ended_) {
    if (in_payload_ && header_.type == FrameType::kData) {
      const size_t part = std::min<size_t>(payload_left_, bytes.size());
      // A stream that was reset here may still get what was under way.
      if (receiving_ != nullptr) {
        receiving_->held_ += static_cast<uint32_t>(part);
        events_.OnData(*receiving_, bytes.first(part));
      }
      payload_left_ -= static_cast<uint32_t>(part);
      in_payload_ = payload_left_ > 0;
      bytes = bytes.subspan(part);
      continue;
    }
    const uint32_t wanted = in_payload_ ? header_.length : kHeaderBytes;
    const size_t part = std::min<size_t>(wanted - partial_bytes_, bytes.size());
    memcpy(partial_ + partial_bytes_, bytes.data(), part);
    partial_bytes_ += static_cast<uint32_t>(part);
    bytes = bytes.subspan(part);
    if (partial_bytes_ < wanted) return ErrorCode::kNone;
    partial_bytes_ = 0;
    const ErrorCode error = in_payload_ ? HandleControl() : Begin(ReadHeader(partial_));
    if (error != ErrorCode::kNone) return error;
  }
  return ErrorCode::kNone;
}

// Checks a header, before a byte of its payload is looked at.
ErrorCode Session::Begin(const Header& header) {
  header_ = header;
  if (!greeted_ && header.type != FrameType::kHello) return ErrorCode::kProtocol;
  if (output_.size() > kMostOutput) return ErrorCode::kFlood;
  uint32_t length;
  switch (header.type) {
    case FrameType::kHello:
      length = kHelloBytes;
      break;
    case FrameType::kOpen:
      length = kOpenBytes;
      break;
    case FrameType::kCredit:
      length = kCreditBytes;
      break;
    case FrameType::kFin:
      length = 0;
      break;
    case FrameType::kReset:
      length = kResetBytes;
      break;
    case FrameType::kPing:
    case FrameType::kPong:
      length = kPingBytes;
      break;
    case FrameType::kGoAway:
      length = kGoAwayBytes;
      break;
    case FrameType::kData: {
      if (header.length == 0 || header.length > kMaxPayload) return ErrorCode::kFrameSize;
      if (header.stream == 0 || header.stream > last_stream_) return ErrorCode::kProtocol;
      receiving_ = Find(header.stream);
      if (receiving_ != nullptr) {
        if (receiving_->peer_finished_) return ErrorCode::kProtocol;
        if (header.length > receiving_->receive_window_) return ErrorCode::kFlowControl;
        receiving_->receive_window_ -= header.length;
      }
      payload_left_ = header.length;
      in_payload_ = true;
      return ErrorCode::kNone;
    }
    default:
      return ErrorCode::kProtocol;
  }
  if (header.length != length) return ErrorCode::kFrameSize;
  if (IsFlood()) return ErrorCode::kFlood;
  in_payload_ = true;
  return length == 0 ? HandleControl() : ErrorCode::kNone;
}

bool Session::IsFlood() {
  control_due_us_ = std::max(control_due_us_, now_us_) + kControlFrameUs;
  return control_due_us_ - now_us_ > kControlBurstUs;
}

ErrorCode Session::HandleControl() {
  in_payload_ = false;
  const uint32_t id = header_.stream;
  switch (header_.type) {
    case FrameType::kHello:
      return HandleHello();
    case FrameType::kOpen:
      return HandleOpen(id);
    case FrameType::kPing:
      if (id != 0) return ErrorCode::kProtocol;
      memcpy(Put(FrameType::kPong, 0, kPingBytes), partial_, kPingBytes);
      return ErrorCode::kNone;
    case FrameType::kPong:
      return id == 0 ? ErrorCode::kNone : ErrorCode::kProtocol;
    case FrameType::kGoAway:
      if (role_ != Role::kClient || id != 0) return ErrorCode::kProtocol;
      if (!std::exchange(going_away_, true)) events_.OnGoAway();
      return ErrorCode::kNone;
    default:
      break;
  }
  if (id == 0 || id > last_stream_) return ErrorCode::kProtocol;
  Stream* const stream = Find(id);
  if (stream == nullptr) return ErrorCode::kNone;  // it was reset here, which the peer did not know yet
  switch (header_.type) {
    case FrameType::kCredit:
      return HandleCredit(*stream);
    case FrameType::kFin: {
      if (std::exchange(stream->peer_finished_, true)) return ErrorCode::kProtocol;
      events_.OnFin(*stream);
      return ErrorCode::kNone;
    }
    default:
      events_.OnReset(*stream, static_cast<ErrorCode>(ReadU32(partial_)));
      if (Stream* still = Find(id)) Remove(*still);  // the connection may have been ended
      return ErrorCode::kNone;
  }
}

ErrorCode Session::HandleHello() {
  if (std::exchange(greeted_, true) || header_.stream != 0) return ErrorCode::kProtocol;
  if (ReadU32(partial_) >> 16 != kVersion) return ErrorCode::kVersion;
  peer_max_streams_ = ReadU32(partial_ + 4);
  return ErrorCode::kNone;
}

ErrorCode Session::HandleOpen(uint32_t id) {
  if (role_ != Role::kServer || id <= last_stream_) return ErrorCode::kProtocol;
  const auto request = ReadOpen(partial_);
  if (!request) return ErrorCode::kProtocol;
  last_stream_ = id;
  // The client cannot know how many there are: a stream counts here until its last bytes have been consumed.
  const bool too_many = streams_.size() >= std::max(limits_.max_streams, kPeerStreamsBeforeHello);
  const bool refuses = now_us_ >= refuses_from_us_;
  if (refuses || too_many) {
    const ErrorCode code = refuses ? ErrorCode::kRefused : ErrorCode::kTooManyStreams;
    WriteU32(Put(FrameType::kReset, id, kResetBytes), static_cast<uint32_t>(code));
    return ErrorCode::kNone;
  }
  windows_ += kInitialWindow;
  Stream& stream = *streams_.emplace(id, std::unique_ptr<Stream>(new Stream(id))).first->second;
  events_.OnOpen(stream, *request);
  return ErrorCode::kNone;
}

ErrorCode Session::HandleCredit(Stream& stream) {
  const uint32_t credit = ReadU32(partial_);
  if (credit == 0) return ErrorCode::kProtocol;
  if (credit > UINT32_MAX - stream.send_window_ || stream.send_window_ + credit > kMaxWindow) {
    return ErrorCode::kFlowControl;
  }
  const bool was_shut = stream.send_window_ < kLeastWindow;
  stream.send_window_ += credit;
  if (was_shut && stream.send_window_ >= kLeastWindow && !stream.finished_) events_.OnRoom(stream);
  return ErrorCode::kNone;
}

}  // namespace weft::core::weft1
