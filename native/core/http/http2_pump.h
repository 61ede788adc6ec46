// Carries an HTTP/2 session's bytes: what arrives goes in at once, what it has to say goes out once per turn of the
// loop, of all its streams together, and no more than its byte stream takes.
#pragma once

#include <cstddef>
#include <string_view>

#include "../event_loop.h"
#include "../http2/session.h"
#include "byte_stream.h"

namespace weft::core::http {

struct Shared;

// Beyond this of one stream unsent, whoever sends it is asked to wait.
constexpr size_t kMostQueued = 64 * 1024;

class Http2PumpOwner {
 public:
  // Bytes have passed: streams may have ended, and the session may be over.
  virtual void Pumped() = 0;

 protected:
  ~Http2PumpOwner() = default;
};

class Http2Pump final : private Task {
 public:
  Http2Pump(Shared& shared, http2::Session& session, Http2PumpOwner& owner)
      : shared_(shared), session_(session), owner_(owner) {}

  void Start(ByteStream& stream);
  // Nothing is carried any more.
  void Stop();
  // There is something to send.
  void Announce();
  void Receive(std::string_view bytes);
  void Flush();
  // All that the session had to say is sent.
  bool IsDone() const { return stream_ == nullptr || (!stream_->blocked() && session_.over()); }

 private:
  void Run() override { Flush(); }

  Shared& shared_;
  http2::Session& session_;
  Http2PumpOwner& owner_;
  ByteStream* stream_ = nullptr;
};

}  // namespace weft::core::http
