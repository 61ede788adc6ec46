#include "http2_upstream_stream.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "exchange.h"
#include "http2_upstream_connection.h"
#include "message_end.h"
#include "shared.h"

namespace weft::core::http {

// RFC 8441: who asks for extended CONNECT knows that the server takes it.
bool Http2UpstreamStream::NeedsSettings() const { return exchange_->asked().upgrade; }

void Http2UpstreamStream::Ready() { exchange_->UpstreamReady(); }

void Http2UpstreamStream::NotReady(Ending ending, uint32_t detail) {
  Exchange* const exchange = exchange_;
  Free();
  exchange->UpstreamNotReady(ending, detail);
}

void Http2UpstreamStream::WriteHead(const PreparedRequest& request) {
  http2::ClientSession& session = connection_.session();
  const bool knows = request.http2.protocol_place.size == 0 || session.takes_extended_connect();
  if (knows) stream_ = session.Open(request.http2);
  opened_ = stream_ != nullptr;
  failed_ = !opened_;
  if (failed_) return connection_.CouldNotOpen(*this);
  stream_->context = this;
}

void Http2UpstreamStream::WriteBody(std::string_view bytes) {
  if (stream_ != nullptr) connection_.session().Write(*stream_, std::as_bytes(std::span(bytes)));
}

void Http2UpstreamStream::WriteEnd(const HeadView& trailers) {
  if (stream_ == nullptr || (exchange_->IsAskingForTunnel() && !exchange_->upgraded())) return;
  FinishStream(connection_.shared(), connection_.session(), *stream_, trailers);
}

bool Http2UpstreamStream::blocked() const { return stream_ != nullptr && stream_->queued() >= kMostQueued; }

void Http2UpstreamStream::Sent(size_t bytes) {
  const bool was_blocked = stream_->queued() + bytes >= kMostQueued;
  exchange_->RequestTaken(bytes);
  if (was_blocked && !blocked()) exchange_->UpstreamDrained();
}

void Http2UpstreamStream::ReceivedHead(const http2::Head& head) {
  const bool succeeds = head.status >= 200 && head.status < 300;
  answered_ = true;
  if (exchange_->ResponseHead(head, succeeds && exchange_->IsAskingForTunnel())) exchange_->FlushResponse();
}

void Http2UpstreamStream::Received(std::span<const std::byte> bytes) {
  owed_ += bytes.size();
  exchange_->ResponseBody({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  exchange_->FlushResponse();
}

void Http2UpstreamStream::ReceivedEnd(const HeadView& trailers) { exchange_->ResponseEnd(trailers, true); }

void Http2UpstreamStream::ResponseTaken(size_t bytes) {
  const size_t taken = std::min(bytes, owed_);
  owed_ -= taken;
  if (stream_ != nullptr && taken > 0) connection_.session().Consumed(*stream_, taken);
}

void Http2UpstreamStream::Reset(http2::ErrorCode code, bool by_peer) {
  stream_ = nullptr;
  if (by_peer) return exchange_->UpstreamReset(static_cast<uint32_t>(code), code == http2::ErrorCode::kRefusedStream);
  exchange_->ResponseInvalid(http1::Error::kNone);
}

void Http2UpstreamStream::Lost(uint32_t error) {
  stream_ = nullptr;
  exchange_->UpstreamLost(error);
}

void Http2UpstreamStream::Release(bool) {
  if (stream_ != nullptr && !stream_->received()) connection_.session().StopReading(*stream_);
  Free();
}

void Http2UpstreamStream::Abandon(uint32_t code) {
  const auto why = code != 0 ? static_cast<http2::ErrorCode>(code) : http2::ErrorCode::kCancel;
  if (stream_ != nullptr) connection_.session().Reset(*std::exchange(stream_, nullptr), why);
  Free();
}

void Http2UpstreamStream::Free() {
  connection_.Forget(*this);
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->context = nullptr;
  if (std::exchange(exchange_, nullptr) != nullptr) {
    connection_.shared().loop.Retire(std::unique_ptr<Http2UpstreamStream>(this));
  }
}

}  // namespace weft::core::http
