// A client's connection of HTTP/2: one exchange per stream.
#pragma once

#include <memory>

#include "../connection.h"
#include "../http2/server_session.h"
#include "byte_stream.h"
#include "http2_pump.h"
#include "shared.h"

namespace weft::core::http {

class Http2ServerConnection final : public Connection,
                                    public Link<Http2ServerConnection>,
                                    private ByteStreamEvents,
                                    private http2::SessionEvents,
                                    private Http2PumpOwner,
                                    private Timer {
 public:
  Http2ServerConnection(Shared& shared, const Identity& identity, int64_t accepted_us, const Decision& decision,
                        std::unique_ptr<ByteStream> stream);

  void Begin();
  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;
  // Ends after the exchanges that are under way.
  void Drain();

  // Of its streams.
  Shared& shared() { return shared_; }
  http2::ServerSession& session() { return session_; }
  uint32_t http_context() const { return http_context_; }
  void ExchangeBegan() { exchanges_++; }
  void ExchangeEnded() { exchanges_--; }

 private:
  size_t Received(std::string_view bytes) override;
  void ReceivedEnd() override;
  void Drained() override { pump_.Flush(); }
  void Failed(int error) override;
  void Pumped() override;
  void Expired() override;

  void OnHead(http2::Stream& stream, const http2::Head& head) override;
  void OnRefused(http2::Stream& stream, http1::Error error) override;
  void OnBody(http2::Stream& stream, std::span<const std::byte> bytes) override;
  void OnTrailers(http2::Stream& stream, const http2::Head& trailers) override;
  void OnEnd(http2::Stream& stream) override;
  void OnSent(http2::Stream& stream, size_t bytes) override;
  void OnClosed(http2::Stream& stream) override;
  void OnReset(http2::Stream& stream, http2::ErrorCode code, bool by_peer) override;
  void OnGoAway(http2::ErrorCode) override {}
  void OnOutput() override { pump_.Announce(); }

  bool IsIdle(int64_t now_us) const;
  void ScheduleNext();
  // All that is to be said has been. What the client still sends is thrown away: answered with a reset, it could make
  // the client miss our last words.
  void Linger(CloseReason reason, int error);
  void EndStreams(CloseReason reason);
  void Close(CloseReason reason, int error);

  Shared& shared_;
  std::unique_ptr<ByteStream> stream_;
  http2::ServerSession session_;
  Http2Pump pump_;
  int64_t used_us_;
  int64_t closed_us_ = 0;
  const uint32_t http_context_;
  const uint32_t idle_timeout_ms_;
  uint32_t exchanges_ = 0;  // under way; of others the client may still have to take the end
  uint32_t error_ = 0;
  CloseReason reason_ = CloseReason::kError;
  uint32_t discarded_ = 0;
  bool lingering_ = false;
  bool closed_ = false;
};

}  // namespace weft::core::http
