// A peer's stream whose first bytes are looked at before it is decided what to do with it.
#pragma once

#include <span>
#include <string>

#include "connection.h"
#include "peer_stream.h"

namespace weft::core {

class StreamPending;

class StreamClassifier {
 public:
  // identity().detected tells. Take the stream over, with bytes() and ended(), and retire the object.
  virtual void Classified(StreamPending& pending) = 0;

 protected:
  ~StreamClassifier() = default;
};

struct StreamPendingContext {
  EventLoop& loop;
  ConnectionOwner& owner;
  StreamClassifier& classifier;
};

class StreamPending final : public Connection, public PeerStreamEvents, private Timer {
 public:
  StreamPending(const StreamPendingContext& context, const Identity& identity, int64_t accepted_us, PeerStream& stream);

  void Classify(uint32_t timeout_ms);

  // Whoever takes it takes the bytes, none of which is consumed.
  PeerStream& TakeStream();
  std::span<const std::byte> bytes() const { return bytes_; }
  bool ended() const { return ended_; }
  bool closed() const { return closed_; }

  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;

  void Began() override {}
  void Arrived(std::span<const std::byte> bytes) override;
  void HasRoom() override {}
  void PeerFinished() override;
  void PeerReset(int error) override;

 private:
  void Expired() override { Classified(Detected::kTimeout); }
  void Classified(Detected detected);
  void Close(CloseReason reason, int error);

  const StreamPendingContext& context_;
  PeerStream* stream_;
  std::string collected_;  // where they came in several pieces
  std::span<const std::byte> bytes_;
  CloseReason reason_ = CloseReason::kError;
  int error_ = 0;
  bool ended_ = false;
  bool closed_ = false;
};

}  // namespace weft::core
