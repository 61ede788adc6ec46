#include "upstream_connection.h"

#include <cerrno>
#include <utility>

#include "exchange.h"
#include "peer_byte_stream.h"
#include "shared.h"
#include "socket_stream.h"

namespace weft::core::http {
namespace {

constexpr uint32_t kDefaultConnectTimeoutMs = 10'000;
constexpr int64_t kMaxIdleUs = 30'000'000;
// New policies of the network, and credentials, reach who is connected already by then.
constexpr int64_t kMaxAgeUs = 60'000'000;

}  // namespace

UpstreamConnection::UpstreamConnection(Shared& shared, const UpstreamKey& key, UpstreamPool::Endpoint& endpoint)
    : shared_(shared),
      key_(key),
      endpoint_(endpoint),
      reader_(shared.limits, shared.response_head),
      dial_(shared.dial, *this),
      born_us_(shared.loop.now_us()) {}

UpstreamConnection::~UpstreamConnection() = default;

void UpstreamConnection::Connect(Exchange& exchange, const weft::core::Endpoint& client, uint32_t timeout_ms) {
  exchange_ = &exchange;
  client_ = client;
  const uint32_t within_ms = timeout_ms != 0 ? timeout_ms : kDefaultConnectTimeoutMs;
  shared_.loop.Schedule(*this, shared_.loop.now_us() + int64_t{within_ms} * 1000);
  const weft::core::Endpoint destination{key_.address, static_cast<uint16_t>(key_.port)};
  if (key_.via != Action::kTunnel) {
    const bool to_app = key_.via == Action::kRelayToApp;
    return dial_.Start(to_app && key_.app_pod != 0 ? key_.app_pod : key_.pod, destination, to_app ? &client_ : nullptr);
  }
  const TunnelKey key{key_.pod, key_.workload, key_.credentials, key_.expected_name, destination};
  if (!shared_.streams.OpenStream(key, within_ms, *this)) ConnectFailed(Ending::kConnectFailed, ENOKEY);
}

void UpstreamConnection::Dialed(Descriptor socket, bool watched) {
  auto stream = std::make_unique<SocketStream>(shared_.loop, shared_.buffer(), std::move(socket));
  SocketStream& watching = *stream;
  stream_ = std::move(stream);
  stream_->set_events(*this);
  if (!watching.Watch(watched)) return ConnectFailed(Ending::kError, errno);
  Began();
}

weft1::OpenRequest UpstreamConnection::request() const {
  return {client_, {key_.address, static_cast<uint16_t>(key_.port)}, weft1::Protocol::kHttp1};
}

PeerStreamEvents& UpstreamConnection::Opened(PeerStream& opened) {
  auto stream = std::make_unique<PeerByteStream>(shared_.loop, opened);
  PeerByteStream& events = *stream;
  stream_ = std::move(stream);
  stream_->set_events(*this);
  return events;
}

void UpstreamConnection::Began() {
  connected_ = true;
  Timer::Unlink();
  stream_->Resume();
  exchange_->UpstreamReady();
}

void UpstreamConnection::NotOpened(CloseReason reason, int error) {
  switch (reason) {
    case CloseReason::kConnectTimeout:
      return ConnectFailed(Ending::kConnectTimeout, error);
    case CloseReason::kTlsFailed:
      return ConnectFailed(Ending::kTlsFailed, error);
    case CloseReason::kShutdown:
      return ConnectFailed(Ending::kShutdown, error);
    default:
      return ConnectFailed(Ending::kConnectFailed, error);
  }
}

void UpstreamConnection::ConnectFailed(Ending ending, int error) {
  Exchange* const exchange = std::exchange(exchange_, nullptr);
  Close(true);
  if (exchange != nullptr) exchange->UpstreamNotReady(ending, static_cast<uint32_t>(error));
}

void UpstreamConnection::Expired() {
  if (!connected_) return ConnectFailed(Ending::kConnectTimeout, ETIMEDOUT);
  Close(false);
}

void UpstreamConnection::Use(Exchange& exchange) {
  Timer::Unlink();
  exchange_ = &exchange;
}

void UpstreamConnection::Release() {
  exchange_ = nullptr;
  stream_->Resume();
  shared_.pool.Put(*this);
}

void UpstreamConnection::Rest() { shared_.loop.Schedule(*this, shared_.loop.now_us() + kMaxIdleUs); }

bool UpstreamConnection::IsTooOld() const { return shared_.loop.now_us() - born_us_ >= kMaxAgeUs; }

// A server says nothing that it was not asked for.
size_t UpstreamConnection::Received(std::string_view bytes) {
  if (exchange_ != nullptr) {
    exchange_->ReadResponse(bytes);
  } else {
    Close(true);
  }
  return bytes.size();
}

void UpstreamConnection::ReceivedEnd() {
  if (exchange_ != nullptr) return exchange_->UpstreamEnded();
  Close(false);
}

void UpstreamConnection::Drained() {
  if (exchange_ != nullptr) exchange_->UpstreamDrained();
}

void UpstreamConnection::Failed(int error) {
  Exchange* const exchange = std::exchange(exchange_, nullptr);
  Close(true);
  if (exchange != nullptr) exchange->UpstreamFailed(static_cast<uint32_t>(error));
}

void UpstreamConnection::Close(bool reset) {
  if (std::exchange(closed_, true)) return;
  exchange_ = nullptr;
  Timer::Unlink();
  StreamWaiter::Unlink();
  dial_.Cancel();
  if (stream_) stream_->Close(reset);
  shared_.pool.Closed(*this);
}

}  // namespace weft::core::http
