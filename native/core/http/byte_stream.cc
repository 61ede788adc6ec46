#include "byte_stream.h"

#include <utility>

namespace weft::core::http {
namespace {

std::span<const std::byte> Bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

void ByteStream::Resume() {
  if (closed_ || !std::exchange(paused_, false)) return;
  if (!IsQuiet()) loop_.Defer(*this);
}

void ByteStream::Run() { Advance(); }

void ByteStream::Advance() {
  if (closed_ || paused_) return;
  DeliverUnread();
  if (!closed_ && !paused_ && unread_.empty()) Read();
  DeliverEnd();
}

void ByteStream::Deliver(std::string_view bytes) {
  const size_t taken = events_->Received(bytes);
  if (closed_) return;
  Consumed(taken);
  if (taken == bytes.size()) return;
  unread_.Append(Bytes(bytes.substr(taken)));
  if (!paused_) loop_.Defer(*this);
}

void ByteStream::DeliverUnread() {
  while (!closed_ && !paused_ && !unread_.empty()) {
    const size_t taken = events_->Received(Text(unread_.front()));
    if (closed_) return;
    unread_.Taken(taken);
    Consumed(taken);
    if (taken == 0 && !paused_) return loop_.Defer(*this);
  }
}

void ByteStream::DeliverEnd() {
  if (closed_ || paused_ || !ended_ || !unread_.empty() || std::exchange(end_told_, true)) return;
  events_->ReceivedEnd();
}

void ByteStream::Fail(int error) {
  if (closed_) return;
  Close(true);
  events_->Failed(error);
}

}  // namespace weft::core::http
