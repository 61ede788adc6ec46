// A connection of HTTP/2 that requests are sent on, as many at once as its server takes.
#pragma once

#include "../http2/client_session.h"
#include "http2_pump.h"
#include "http2_upstream_pool.h"
#include "upstream_link.h"

namespace weft::core::http {

class Http2UpstreamStream;

class Http2UpstreamConnection final : public UpstreamLink,
                                      public Link<Http2UpstreamConnection>,
                                      public Link<AllLink>,
                                      private http2::SessionEvents,
                                      private Http2PumpOwner {
 public:
  Http2UpstreamConnection(Shared& shared, const UpstreamKey& key, Http2UpstreamPool::Endpoint& endpoint);
  ~Http2UpstreamConnection() override;

  Http2UpstreamPool::Endpoint& endpoint() const { return endpoint_; }
  bool connected() const { return connected_; }
  // Another request would not have to wait for one that is under way.
  bool HasRoom() const;
  uint32_t waiting() const { return waiting_count_; }
  // Its exchange is told when it can begin, maybe before this returns.
  void Add(Http2UpstreamStream& side);
  // Takes no more, and ends after what is under way.
  void Retire();
  void Close(int error);

  // Of its streams.
  Shared& shared() { return shared_; }
  http2::ClientSession& session() { return session_; }
  void Forget(Http2UpstreamStream& side);
  // It could not be opened.
  void CouldNotOpen(Http2UpstreamStream& side);

 private:
  using Waiting = List<Http2UpstreamStream, Http2UpstreamStream>;

  size_t Received(std::string_view bytes) override;
  void ReceivedEnd() override { Close(0); }
  void PeerLeaves() override { Retire(); }
  void Drained() override { pump_.Flush(); }
  void Failed(int error) override { Close(error); }
  void Connected() override;
  void NotConnected(Ending ending, int error) override;
  void TimeIsUp() override;
  void Pumped() override;

  void OnHead(http2::Stream& stream, const http2::Head& head) override;
  void OnRefused(http2::Stream&, http1::Error) override {}  // of servers
  void OnBody(http2::Stream& stream, std::span<const std::byte> bytes) override;
  void OnTrailers(http2::Stream& stream, const http2::Head& trailers) override;
  void OnEnd(http2::Stream& stream) override;
  void OnSent(http2::Stream& stream, size_t bytes) override;
  void OnClosed(http2::Stream& stream) override;
  void OnReset(http2::Stream& stream, http2::ErrorCode code, bool by_peer) override;
  void OnGoAway(http2::ErrorCode) override { Retire(); }
  void OnOutput() override { pump_.Announce(); }

  bool CanBegin(const Http2UpstreamStream& side) const;
  void ServeWaiting();
  void ScheduleNext();

  Http2UpstreamPool::Endpoint& endpoint_;
  http2::ClientSession session_;
  Http2Pump pump_;
  Waiting waiting_;
  Waiting failed_;
  uint32_t waiting_count_ = 0;
  int64_t used_us_;
  bool closed_ = false;
};

}  // namespace weft::core::http
