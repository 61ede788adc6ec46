// A connection that requests are sent on: to an app, out of the pod, or over a tunnel.
#pragma once

#include <memory>

#include "../dial.h"
#include "../http1/reader.h"
#include "../tunnel.h"
#include "byte_stream.h"
#include "request_record.h"
#include "upstream_pool.h"

namespace weft::core::http {

class Exchange;

struct IdleLink {};

class UpstreamConnection final : public Retired,
                                 public Link<IdleLink>,
                                 private ByteStreamEvents,
                                 private DialEvents,
                                 private StreamWaiter,
                                 private Timer {
 public:
  UpstreamConnection(Shared& shared, const UpstreamKey& key, UpstreamPool::Endpoint& endpoint);
  ~UpstreamConnection() override;

  // The exchange is told that it is ready, or that it failed; maybe before this returns.
  void Connect(Exchange& exchange, const weft::core::Endpoint& client, uint32_t timeout_ms);
  // Takes one out of the pool.
  void Use(Exchange& exchange);
  void set_context(uint32_t upstream_context) { context_ = upstream_context; }

  ByteStream& stream() { return *stream_; }
  http1::ResponseReader& reader() { return reader_; }
  // Of the exchange: it is done with the connection, which may carry another one, or may not.
  void Release();
  void Close(bool reset);

  const UpstreamKey& key() const { return key_; }
  UpstreamPool::Endpoint& endpoint() const { return endpoint_; }
  uint32_t context() const { return context_; }
  bool IsTooOld() const;
  // In the pool, until it has been so for too long.
  void Rest();

 private:
  size_t Received(std::string_view bytes) override;
  void ReceivedEnd() override;
  void Drained() override;
  void Failed(int error) override;
  void Began() override;

  void Dialed(Descriptor socket, bool watched) override;
  void DialFailed(int error) override { ConnectFailed(Ending::kConnectFailed, error); }
  weft1::OpenRequest request() const override;
  PeerStreamEvents& Opened(PeerStream& stream) override;
  void NotOpened(CloseReason reason, int error) override;
  void Expired() override;
  void ConnectFailed(Ending ending, int error);

  Shared& shared_;
  const UpstreamKey key_;
  UpstreamPool::Endpoint& endpoint_;
  Exchange* exchange_ = nullptr;
  std::unique_ptr<ByteStream> stream_;
  http1::ResponseReader reader_;
  Dial dial_;
  weft::core::Endpoint client_{};
  const int64_t born_us_;
  uint32_t context_ = 0;
  bool connected_ = false;
  bool closed_ = false;
};

}  // namespace weft::core::http
