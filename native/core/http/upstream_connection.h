// A connection of HTTP/1 that requests are sent on, one at a time.
#pragma once

#include "../http1/reader.h"
#include "upstream_link.h"
#include "upstream_pool.h"
#include "upstream_side.h"

namespace weft::core::http {

class Exchange;

struct IdleLink {};

class UpstreamConnection final : public UpstreamLink, public UpstreamSide, public Link<IdleLink> {
 public:
  UpstreamConnection(Shared& shared, const UpstreamKey& key, UpstreamPool::Endpoint& endpoint);

  // The exchange is told that it is ready, or that it failed; maybe before this returns.
  void Connect(Exchange& exchange, const weft::core::Endpoint& client, uint32_t timeout_ms);
  // Of one that was in the pool.
  void Use(Exchange& exchange);

  const ByteStream& stream() const { return *stream_; }
  void Close(bool reset);

  UpstreamPool::Endpoint& endpoint() const { return endpoint_; }
  // In the pool, until it has been so for too long.
  void Rest();

  void WriteHead(const PreparedRequest& request) override;
  void WriteBody(std::string_view bytes) override;
  void WriteEnd(const HeadView& trailers) override;
  void Flush() override;
  bool blocked() const override { return stream_->blocked(); }
  void ResumeResponse() override { stream_->Resume(); }
  void ResponseTaken(size_t /*bytes*/) override {}
  bool IsUnsent() const override { return stream_ == nullptr || stream_->sent() == sent_before_; }
  bool IsAnswered() const override { return reader_.begun(); }
  void Release(bool reusable) override;
  void Abandon(uint32_t code) override;

 private:
  void ReadResponse(std::string_view input);
  size_t Received(std::string_view bytes) override;
  void ReceivedEnd() override;
  void PeerLeaves() override;
  void Drained() override;
  void Failed(int error) override;
  void Connected() override;
  void NotConnected(Ending ending, int error) override;
  void TimeIsUp() override { Close(false); }

  UpstreamPool::Endpoint& endpoint_;
  Exchange* exchange_ = nullptr;
  http1::ResponseReader reader_;
  uint64_t sent_before_ = 0;  // for other exchanges
  bool chunked_ = false;      // the request's body
  bool answered_ = false;     // the final response has begun
  bool leaves_ = false;       // it carries no other exchange
  bool closed_ = false;
};

}  // namespace weft::core::http
