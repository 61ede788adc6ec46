// The upstream side of an exchange that is a stream of HTTP/2, or waits to be one. Ends with its exchange; what is
// still to be sent of the request then is its session's.
#pragma once

#include <span>

#include "../event_loop.h"
#include "../http2/client_session.h"
#include "../list.h"
#include "request_record.h"
#include "upstream_side.h"

namespace weft::core::http {

class Exchange;
class Http2UpstreamConnection;

class Http2UpstreamStream final : public Retired, public UpstreamSide, public Link<Http2UpstreamStream> {
 public:
  Http2UpstreamStream(Http2UpstreamConnection& connection, Exchange& exchange)
      : connection_(connection), exchange_(&exchange) {}

  // Of its connection.
  bool NeedsSettings() const;
  void Ready();
  void NotReady(Ending ending, uint32_t detail);
  void ReceivedHead(const http2::Head& head);
  void Received(std::span<const std::byte> bytes);
  void ReceivedEnd(const HeadView& trailers);
  void Sent(size_t bytes);
  void Closed() { stream_ = nullptr; }
  void Reset(http2::ErrorCode code, bool by_peer);
  void Lost(uint32_t error);
  bool failed() const { return failed_; }

  void WriteHead(const PreparedRequest& request) override;
  void WriteBody(std::string_view bytes) override;
  void WriteEnd(const HeadView& trailers) override;
  void Flush() override {}
  bool blocked() const override;
  void ResumeResponse() override {}
  void ResponseTaken(size_t bytes) override;
  bool IsUnsent() const override { return !opened_; }
  bool IsAnswered() const override { return answered_; }
  void Release(bool reusable) override;
  void Abandon(uint32_t code) override;

 private:
  void Free();

  Http2UpstreamConnection& connection_;
  Exchange* exchange_;
  http2::Stream* stream_ = nullptr;  // null: it is not open yet, or gone
  size_t owed_ = 0;                  // given to the exchange, and not told to be taken
  bool opened_ = false;
  bool failed_ = false;
  bool answered_ = false;
};

}  // namespace weft::core::http
