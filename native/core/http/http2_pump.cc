#include "http2_pump.h"

#include "shared.h"

namespace weft::core::http {

void Http2Pump::Start(ByteStream& stream) {
  stream_ = &stream;
  Announce();
}

void Http2Pump::Stop() {
  stream_ = nullptr;
  Task::Unlink();
}

void Http2Pump::Announce() {
  if (stream_ != nullptr) shared_.loop.Defer(*this);
}

void Http2Pump::Receive(std::string_view bytes) {
  const bool failed = !session_.Receive(std::as_bytes(std::span(bytes)), shared_.loop.now_us());
  if (stream_ == nullptr) return;
  failed ? Flush() : owner_.Pumped();
}

void Http2Pump::Flush() {
  while (stream_ != nullptr && !stream_->blocked()) {
    const size_t size = session_.Output(std::as_writable_bytes(shared_.output()));
    if (size == 0 || stream_ == nullptr) break;
    stream_->Write(std::string_view(shared_.output().data(), size));
  }
  if (stream_ != nullptr) owner_.Pumped();
}

}  // namespace weft::core::http
