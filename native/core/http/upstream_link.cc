#include "upstream_link.h"

#include <cerrno>
#include <utility>

#include "peer_byte_stream.h"
#include "shared.h"
#include "socket_stream.h"

namespace weft::core::http {
UpstreamLink::UpstreamLink(Shared& shared, const UpstreamKey& key, weft1::Protocol protocol)
    : shared_(shared), key_(key), protocol_(protocol), dial_(shared.dial, *this), born_us_(shared.loop.now_us()) {}

UpstreamLink::~UpstreamLink() = default;

void UpstreamLink::Connect(const weft::core::Endpoint& client, uint32_t timeout_ms) {
  client_ = client;
  const uint32_t within_ms = timeout_ms != 0 ? timeout_ms : kDefaultConnectTimeoutMs;
  shared_.loop.Schedule(*this, shared_.loop.now_us() + int64_t{within_ms} * 1000);
  const weft::core::Endpoint destination{key_.address, static_cast<uint16_t>(key_.port)};
  if (key_.via != Action::kTunnel) {
    const bool to_app = key_.via == Action::kRelayToApp;
    return dial_.Start(to_app && key_.app_pod != 0 ? key_.app_pod : key_.pod, destination, to_app ? &client_ : nullptr);
  }
  const TunnelKey key{key_.pod, key_.workload, key_.credentials, key_.expected_name, destination};
  if (!shared_.streams.OpenStream(key, within_ms, *this)) NotConnected(Ending::kConnectFailed, ENOKEY);
}

void UpstreamLink::Dialed(Descriptor socket, bool watched) {
  // The broker may not have closed its duplicate yet.
  auto stream = std::make_unique<SocketStream>(shared_.loop, shared_.buffer(), std::move(socket),
                                               SocketStream::Holders::kOthersToo);
  SocketStream& watching = *stream;
  stream_ = std::move(stream);
  stream_->set_events(*this);
  if (!watching.Watch(watched)) return NotConnected(Ending::kError, errno);
  Began();
}

weft1::OpenRequest UpstreamLink::request() const {
  return {client_, {key_.address, static_cast<uint16_t>(key_.port)}, protocol_};
}

PeerStreamEvents& UpstreamLink::Opened(PeerStream& opened, int64_t tunnel_born_us) {
  born_us_ = tunnel_born_us;
  auto stream = std::make_unique<PeerByteStream>(shared_.loop, opened);
  PeerByteStream& events = *stream;
  stream_ = std::move(stream);
  stream_->set_events(*this);
  return events;
}

void UpstreamLink::Began() {
  connected_ = true;
  Timer::Unlink();
  stream_->Resume();
  Connected();
}

void UpstreamLink::NotOpened(CloseReason reason, int error) {
  switch (reason) {
    case CloseReason::kConnectTimeout:
      return NotConnected(Ending::kConnectTimeout, error);
    case CloseReason::kTlsFailed:
      return NotConnected(Ending::kTlsFailed, error);
    case CloseReason::kShutdown:
      return NotConnected(Ending::kShutdown, error);
    default:
      return NotConnected(Ending::kConnectFailed, error);
  }
}

void UpstreamLink::Expired() { connected_ ? TimeIsUp() : NotConnected(Ending::kConnectTimeout, ETIMEDOUT); }

bool UpstreamLink::IsTooOld() const { return shared_.loop.now_us() - born_us_ >= shared_.max_age_us; }

void UpstreamLink::CloseLink(bool reset) {
  Timer::Unlink();
  StreamWaiter::Unlink();
  dial_.Cancel();
  if (!stream_) return;
  shared_.to_upstreams.Drop(*stream_);
  stream_->Close(reset);
}

}  // namespace weft::core::http
