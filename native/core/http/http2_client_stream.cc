#include "http2_client_stream.h"

#include <algorithm>
#include <utility>

#include "../http2/convert.h"
#include "exchange.h"
#include "http2_server_connection.h"
#include "message_end.h"
#include "synthetic_response.h"

namespace weft::core::http {
namespace {

std::string_view Text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

http2::ErrorCode CodeOf(Ending ending, uint32_t detail) {
  switch (ending) {
    case Ending::kUpstreamReset:
      return detail != 0 && detail <= static_cast<uint32_t>(http2::ErrorCode::kHttp11Required)
                 ? static_cast<http2::ErrorCode>(detail)
                 : http2::ErrorCode::kInternalError;
    case Ending::kReset:
    case Ending::kHoldTimeout:
    case Ending::kResponseTimeout:
    case Ending::kRequestTimeout:
    case Ending::kIdleTimeout:
      return http2::ErrorCode::kCancel;
    case Ending::kInvalidRequest:
      return http2::ErrorCode::kProtocolError;
    default:
      return http2::ErrorCode::kInternalError;
  }
}

}  // namespace

Http2ClientStream::Http2ClientStream(Http2ServerConnection& connection, http2::Stream& stream)
    : connection_(connection), shared_(connection.shared()), stream_(&stream) {
  stream.context = this;
  connection.ExchangeBegan();
}

const Identity& Http2ClientStream::client() const { return connection_.identity(); }

uint32_t Http2ClientStream::http_context() const { return connection_.http_context(); }

void Http2ClientStream::Begin(const http2::Head& head) {
  ended_ = head.ends;
  exchange_ = &shared_.exchanges.Take();
  exchange_->Begin(*this, head);
  Continue();
}

void Http2ClientStream::BeginInvalid(http1::Error error) {
  exchange_ = &shared_.exchanges.Take();
  exchange_->BeginInvalid(*this, error);
}

bool Http2ClientStream::Gives() const {
  if (exchange_ == nullptr || !exchange_->IsReady()) return false;
  return !exchange_->IsAskingForTunnel() || exchange_->upgraded();
}

void Http2ClientStream::Give(std::string_view bytes) {
  owed_ += bytes.size();
  exchange_->RequestBody(bytes);
}

void Http2ClientStream::Continue() {
  if (exchange_ == nullptr || !exchange_->IsReady() || !exchange_->GoOnWithRequest()) return;
  if (!Gives()) return exchange_->RequestEnd({});
  while (!kept_.empty()) {
    const std::string_view bytes = Text(kept_.front());
    Give(bytes);
    exchange_->FlushRequest();
    kept_.Taken(bytes.size());
  }
  if (!ended_ || std::exchange(end_given_, true)) return exchange_->FlushRequest();
  if (exchange_->upgraded()) return exchange_->ClientFinished();
  exchange_->RequestEnd(trailers_ ? HeadView(*trailers_) : HeadView());
}

void Http2ClientStream::Received(std::span<const std::byte> bytes) {
  if (exchange_ == nullptr) return;
  if (!kept_.empty() || !Gives()) return kept_.Append(bytes);
  if (!exchange_->GoOnWithRequest()) return;
  Give(Text(bytes));
  exchange_->FlushRequest();
}

void Http2ClientStream::ReceivedTrailers(const http2::Head& trailers) {
  trailers_ = std::make_unique<http2::Head>(trailers);
}

void Http2ClientStream::ReceivedEnd() {
  if (std::exchange(ended_, true)) return;
  if (Gives()) Continue();
}

void Http2ClientStream::RequestTaken(size_t bytes) {
  const size_t taken = std::min(bytes, owed_);
  owed_ -= taken;
  if (stream_ != nullptr && taken > 0) connection_.session().Consumed(*stream_, taken);
}

bool Http2ClientStream::blocked() const { return stream_ != nullptr && stream_->queued() >= kMostQueued; }

void Http2ClientStream::Sent(size_t bytes) {
  if (exchange_ == nullptr) return;
  const bool was_blocked = stream_->queued() + bytes >= kMostQueued;
  exchange_->ResponseTaken(bytes);
  if (was_blocked && !blocked() && exchange_ != nullptr) exchange_->ClientDrained();
}

http1::Error Http2ClientStream::WriteHead(const HeadView& response, const http1::FieldEdits& edits, bool) {
  http2::Head& head = shared_.scratch.http2;
  const http1::Error error = response.http2 != nullptr
                                 ? http2::ForwardResponse(*response.http2, edits, head)
                                 : http2::ResponseFromHttp1(*response.http1, edits, exchange_->asked(), head);
  if (error == http1::Error::kNone && stream_ != nullptr) connection_.session().Respond(*stream_, head);
  return error;
}

// A session takes as much as another one may have under way, and of HTTP/1 a reading and what blocks.
void Http2ClientStream::WriteBody(std::string_view bytes) {
  if (stream_ != nullptr) connection_.session().Write(*stream_, std::as_bytes(std::span(bytes)));
}

void Http2ClientStream::WriteEnd(const HeadView& trailers) {
  if (stream_ != nullptr) FinishStream(shared_, connection_.session(), *stream_, trailers);
}

void Http2ClientStream::WriteSynthetic(const ResponseDefinition& response, bool) {
  if (stream_ == nullptr) return;
  const bool grpc = (exchange_->identity().flags & kGrpc) != 0;
  http2::Head& head = shared_.scratch.http2;
  MakeSyntheticHttp2(response, {.grpc = grpc, .head = exchange_->asked().head}, head);
  connection_.session().Respond(*stream_, head);
  if (head.ends) return;
  WriteBody(response.body);
  connection_.session().Finish(*stream_);
}

bool Http2ClientStream::WriteGrpcFailure(uint32_t grpc_status, std::string_view message) {
  if (stream_ == nullptr || stream_->finished()) return false;
  http2::Head& head = shared_.scratch.http2;
  head.Reset();
  head.ends = true;
  head.Add("grpc-status", std::to_string(grpc_status));
  head.Add("grpc-message", message);
  connection_.session().FinishWith(*stream_, head);
  return true;
}

void Http2ClientStream::Completed(bool unread) {
  // A tunnel that was not granted has no end of the client's to wait for.
  if (stream_ != nullptr && (unread || exchange_->IsAskingForTunnel())) connection_.session().StopReading(*stream_);
  Free();
}

void Http2ClientStream::Aborted(Ending ending, uint32_t detail) {
  if (stream_ != nullptr) connection_.session().Reset(*std::exchange(stream_, nullptr), CodeOf(ending, detail));
  Free();
}

void Http2ClientStream::Gone(Ending ending, uint32_t detail) {
  stream_ = nullptr;
  if (exchange_ != nullptr) exchange_->ClientGone(ending, detail);
  Free();
}

void Http2ClientStream::Free() {
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->context = nullptr;
  if (std::exchange(exchange_, nullptr) == nullptr) return;
  connection_.ExchangeEnded();
  shared_.loop.Retire(std::unique_ptr<Http2ClientStream>(this));
}

}  // namespace weft::core::http
