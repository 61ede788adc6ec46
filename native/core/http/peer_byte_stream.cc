#include "peer_byte_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace weft::core::http {

PeerByteStream::PeerByteStream(EventLoop& loop, PeerStream& stream) : ByteStream(loop), stream_(&stream) {}

void PeerByteStream::Arrived(std::span<const std::byte> bytes) {
  if (closed_) return;
  received_ += bytes.size();
  if (paused_ || has_unread()) return unread_.Append(bytes);
  Deliver({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

void PeerByteStream::PeerFinished() {
  ended_ = true;
  DeliverEnd();
}

void PeerByteStream::PeerLeaves() {
  if (!closed_) events_->PeerLeaves();
}

void PeerByteStream::PeerReset(int error) {
  stream_ = nullptr;
  kept_.Clear();
  if (closed_) return;
  reset_ = true;
  reset_error_ = error;
  if (fails_early_ || (!paused_ && !has_unread())) Fail(error);
}

// Bytes come by themselves; only a reset is told here.
void PeerByteStream::Read() {
  if (reset_) Fail(reset_error_);
}

bool PeerByteStream::IsQuiet() const { return !has_unread() && !reset_ && (!ended_ || end_told_); }

void PeerByteStream::Consumed(size_t bytes) {
  if (stream_ != nullptr && bytes > 0) stream_->Consumed(bytes);
}

// As many parts as find room go into one frame.
void PeerByteStream::Write(std::span<const std::string_view> parts) {
  if (stream_ == nullptr || closed_) return;
  size_t offset = 0;  // in the first part
  while (!parts.empty() && kept_.empty()) {
    const std::span<std::byte> room = stream_->Reserve();
    if (room.empty()) break;
    size_t filled = 0;
    while (!parts.empty() && filled < room.size()) {
      const std::string_view rest = parts.front().substr(offset);
      const size_t size = std::min(rest.size(), room.size() - filled);
      if (size > 0) memcpy(room.data() + filled, rest.data(), size);
      filled += size;
      offset += size;
      if (offset < parts.front().size()) break;
      parts = parts.subspan(1);
      offset = 0;
    }
    stream_->Commit(filled);
    sent_ += filled;
  }
  for (const std::string_view part : parts) {
    kept_.Append(std::as_bytes(std::span(part.substr(offset))));
    offset = 0;
  }
}

void PeerByteStream::HasRoom() {
  if (closed_ || kept_.empty()) return;
  Flush();
  if (!closed_ && kept_.empty()) events_->Drained();
}

void PeerByteStream::Flush() {
  while (!kept_.empty()) {
    const std::span<std::byte> room = stream_->Reserve();
    if (room.empty()) return;
    size_t filled = 0;
    while (!kept_.empty() && filled < room.size()) {
      const std::span<const std::byte> front = kept_.front();
      const size_t size = std::min(front.size(), room.size() - filled);
      memcpy(room.data() + filled, front.data(), size);
      kept_.Taken(size);
      filled += size;
    }
    stream_->Commit(filled);
    sent_ += filled;
  }
  if (finishing_) Finish();
}

void PeerByteStream::Finish() {
  if (stream_ == nullptr || finished_) return;
  finishing_ = !kept_.empty();
  if (finishing_) return;
  finished_ = true;
  stream_->Finish();
}

void PeerByteStream::Close(bool reset) {
  if (closed_) return;
  if (!reset && kept_.empty()) Finish();
  closed_ = true;
  Task::Unlink();
  kept_.Clear();
  PeerStream* const stream = std::exchange(stream_, nullptr);
  if (stream == nullptr) return;
  finished_&& ended_ && !reset ? stream->Release() : stream->Reset();
}

}  // namespace weft::core::http
