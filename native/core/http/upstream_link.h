// Makes a connection that requests are sent on: to an app, out of the pod, or over a tunnel.
#pragma once

#include <memory>

#include "../dial.h"
#include "../tunnel.h"
#include "byte_stream.h"
#include "request_record.h"
#include "upstream_key.h"

namespace weft::core::http {

struct Shared;

class UpstreamLink : public Retired,
                     protected ByteStreamEvents,
                     protected Timer,
                     private DialEvents,
                     private StreamWaiter {
 public:
  static constexpr uint32_t kDefaultConnectTimeoutMs = 10'000;

  ~UpstreamLink() override;

  // Connected() or NotConnected() follows, maybe before this returns.
  void Connect(const weft::core::Endpoint& client, uint32_t timeout_ms);
  const UpstreamKey& key() const { return key_; }
  void set_context(uint32_t upstream_context) { context_ = upstream_context; }
  uint32_t context() const { return context_; }
  // For another request.
  bool IsTooOld() const;

 protected:
  UpstreamLink(Shared& shared, const UpstreamKey& key, weft1::Protocol protocol);

  virtual void Connected() = 0;
  virtual void NotConnected(Ending ending, int error) = 0;
  // The timer of one that is connected.
  virtual void TimeIsUp() = 0;
  void CloseLink(bool reset);

  Shared& shared_;
  std::unique_ptr<ByteStream> stream_;
  bool connected_ = false;

 private:
  void Began() override;
  void Dialed(Descriptor socket, bool watched) override;
  void DialFailed(int error) override { NotConnected(Ending::kConnectFailed, error); }
  weft1::OpenRequest request() const override;
  PeerStreamEvents& Opened(PeerStream& stream, int64_t tunnel_born_us) override;
  void NotOpened(CloseReason reason, int error) override;
  void Expired() override;

  const UpstreamKey key_;
  const weft1::Protocol protocol_;
  Dial dial_;
  weft::core::Endpoint client_{};
  int64_t born_us_;
  uint32_t context_ = 0;
};

}  // namespace weft::core::http
