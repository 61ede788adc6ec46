#pragma once

#include <span>

#include "../peer_stream.h"
#include "byte_stream.h"

namespace weft::core::http {

// What is unread is bounded by the peer's window, which only what was taken opens again.
class PeerByteStream final : public ByteStream, public PeerStreamEvents {
 public:
  // The stream's events must come here from now on.
  PeerByteStream(EventLoop& loop, PeerStream& stream);
  ~PeerByteStream() override { Close(true); }

  using ByteStream::Write;
  void Write(std::span<const std::string_view> parts) override;
  void Finish() override;
  void Close(bool reset) override;
  bool ClosesCleanly() const override { return !blocked() && ended_; }
  bool IsQuiet() const override;
  bool IsAlive() const override { return stream_ != nullptr && IsQuiet(); }

  void Began() override { events_->Began(); }
  void Arrived(std::span<const std::byte> bytes) override;
  void HasRoom() override;
  void PeerFinished() override;
  void PeerLeaves() override;
  void PeerReset(int error) override;

 private:
  void Read() override;
  void Consumed(size_t bytes) override;
  void Flush();

  PeerStream* stream_;
  int reset_error_ = 0;  // told after what came before
  bool reset_ = false;
  bool finishing_ = false;
  bool finished_ = false;
};

}  // namespace weft::core::http
