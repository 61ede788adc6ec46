#include "upstream_connection.h"

#include <utility>

#include "exchange.h"
#include "shared.h"

namespace weft::core::http {
namespace {

constexpr int64_t kMaxIdleUs = 30'000'000;

}  // namespace

UpstreamConnection::UpstreamConnection(Shared& shared, const UpstreamKey& key, UpstreamPool::Endpoint& endpoint)
    : UpstreamLink(shared, key, weft1::Protocol::kHttp1),
      endpoint_(endpoint),
      reader_(shared.limits, shared.response_head) {}

void UpstreamConnection::Connect(Exchange& exchange, const weft::core::Endpoint& client, uint32_t timeout_ms) {
  exchange_ = &exchange;
  UpstreamLink::Connect(client, timeout_ms);
}

void UpstreamConnection::Connected() { exchange_->UpstreamReady(); }

void UpstreamConnection::NotConnected(Ending ending, int error) {
  Exchange* const exchange = std::exchange(exchange_, nullptr);
  Close(true);
  if (exchange != nullptr) exchange->UpstreamNotReady(ending, static_cast<uint32_t>(error));
}

void UpstreamConnection::Use(Exchange& exchange) {
  Timer::Unlink();
  exchange_ = &exchange;
  sent_before_ = stream_->sent();
  exchange.UpstreamReady();
}

void UpstreamConnection::Release(bool reusable) {
  const bool again = reusable && !leaves_ && reader_.ready();
  exchange_ = nullptr;
  if (!again) return Close(false);
  stream_->Resume();
  shared_.pool.Put(*this);
}

void UpstreamConnection::Abandon(uint32_t /*code*/) { Close(true); }

void UpstreamConnection::Rest() { shared_.loop.Schedule(*this, shared_.loop.now_us() + kMaxIdleUs); }

// A server says nothing that it was not asked for.
size_t UpstreamConnection::Received(std::string_view bytes) {
  if (exchange_ != nullptr) {
    ReadResponse(bytes);
  } else {
    Close(true);
  }
  return bytes.size();
}

void UpstreamConnection::ReceivedEnd() {
  if (exchange_ == nullptr) return Close(false);
  if (exchange_->upgraded()) return exchange_->ResponseEnd({}, false);
  const bool complete = reader_.ReadEnd() == http1::Event::kEnd && answered_;
  complete ? exchange_->ResponseEnd(reader_.trailers(), false) : exchange_->UpstreamLost(0);
}

void UpstreamConnection::PeerLeaves() {
  leaves_ = true;
  if (exchange_ == nullptr) Close(false);
}

void UpstreamConnection::Drained() {
  if (exchange_ == nullptr) return;
  exchange_->RequestTaken(kAllTaken);
  exchange_->UpstreamDrained();
}

void UpstreamConnection::Failed(int error) {
  Exchange* const exchange = std::exchange(exchange_, nullptr);
  Close(true);
  if (exchange != nullptr) exchange->UpstreamLost(static_cast<uint32_t>(error));
}

void UpstreamConnection::Close(bool reset) {
  if (std::exchange(closed_, true)) return;
  exchange_ = nullptr;
  CloseLink(reset);
  shared_.pool.Closed(*this);
}

}  // namespace weft::core::http
