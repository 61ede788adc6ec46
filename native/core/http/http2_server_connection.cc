#include "http2_server_connection.h"

#include <cerrno>
#include <utility>

#include "http2_client_stream.h"

namespace weft::core::http {
namespace {

// For a client that was told to go to hear of it.
constexpr int64_t kGoAwayUs = 5'000'000;
constexpr int64_t kLingerUs = 3'000'000;
constexpr size_t kMostDiscarded = 256 * 1024;
constexpr http2::Limits kLimits;

Http2ClientStream* SideOf(http2::Stream& stream) { return static_cast<Http2ClientStream*>(stream.context); }

}  // namespace

Http2ServerConnection::Http2ServerConnection(Shared& shared, const Identity& identity, int64_t accepted_us,
                                             const Decision& decision, std::unique_ptr<ByteStream> stream)
    : Connection(identity, accepted_us),
      shared_(shared),
      stream_(std::move(stream)),
      session_(kLimits, *this),
      pump_(shared, session_, *this),
      used_us_(shared.loop.now_us()),
      http_context_(decision.http_context),
      idle_timeout_ms_(decision.idle_timeout_ms) {
  stream_->set_events(*this);
  stream_->FailEarly();
  shared_.http2_connections.PushBack(*this);
}

void Http2ServerConnection::Begin() {
  ScheduleNext();
  pump_.Start(*stream_);
  stream_->Resume();
  if (shared_.draining) Drain();
}

size_t Http2ServerConnection::Received(std::string_view bytes) {
  if (!lingering_) {
    pump_.Receive(bytes);
  } else if ((discarded_ += static_cast<uint32_t>(bytes.size())) > kMostDiscarded) {
    Close(reason_, static_cast<int>(error_));
  }
  return bytes.size();
}

void Http2ServerConnection::ReceivedEnd() {
  if (lingering_) return Close(reason_, static_cast<int>(error_));
  Close(session_.open_streams() == 0 ? CloseReason::kFinished : CloseReason::kResetByClient, 0);
}

void Http2ServerConnection::Pumped() {
  if (closed_ || lingering_ || !pump_.IsDone()) return;
  const bool fine = session_.error() == http2::ErrorCode::kNoError;
  Linger(fine ? CloseReason::kFinished : CloseReason::kError, fine ? 0 : EPROTO);
}

void Http2ServerConnection::Linger(CloseReason reason, int error) {
  lingering_ = true;
  reason_ = reason;
  error_ = static_cast<uint32_t>(error);
  EndStreams(reason);
  pump_.Stop();
  shared_.loop.Schedule(*this, shared_.loop.now_us() + kLingerUs);
  stream_->Finish();
}

void Http2ServerConnection::OnHead(http2::Stream& stream, const http2::Head& head) {
  if (closed_) return;
  used_us_ = shared_.loop.now_us();
  auto* const side = new Http2ClientStream(*this, stream);
  side->Begin(head);
}

void Http2ServerConnection::OnRefused(http2::Stream& stream, http1::Error error) {
  if (closed_) return;
  auto* const side = new Http2ClientStream(*this, stream);
  side->BeginInvalid(error);
}

void Http2ServerConnection::OnBody(http2::Stream& stream, std::span<const std::byte> bytes) {
  if (Http2ClientStream* const side = SideOf(stream)) side->Received(bytes);
}

void Http2ServerConnection::OnTrailers(http2::Stream& stream, const http2::Head& trailers) {
  if (Http2ClientStream* const side = SideOf(stream)) side->ReceivedTrailers(trailers);
}

void Http2ServerConnection::OnEnd(http2::Stream& stream) {
  if (Http2ClientStream* const side = SideOf(stream)) side->ReceivedEnd();
}

void Http2ServerConnection::OnSent(http2::Stream& stream, size_t bytes) {
  if (Http2ClientStream* const side = SideOf(stream)) side->Sent(bytes);
}

void Http2ServerConnection::OnClosed(http2::Stream& stream) {
  used_us_ = shared_.loop.now_us();
  if (Http2ClientStream* const side = SideOf(stream)) side->Closed();
}

void Http2ServerConnection::OnReset(http2::Stream& stream, http2::ErrorCode code, bool) {
  if (Http2ClientStream* const side = SideOf(stream)) side->Gone(Ending::kClientReset, static_cast<uint32_t>(code));
}

void Http2ServerConnection::Drain() {
  if (closed_ || lingering_) return;
  session_.Drain();
  used_us_ = shared_.loop.now_us();
  shared_.loop.Schedule(*this, used_us_ + kGoAwayUs);
}

void Http2ServerConnection::ScheduleNext() {
  if (session_.draining()) return shared_.loop.Schedule(*this, shared_.loop.now_us() + kGoAwayUs);
  if (idle_timeout_ms_ != 0) shared_.loop.Schedule(*this, used_us_ + int64_t{idle_timeout_ms_} * 1000);
}

// Requests do not touch the timer: it looks when it expires. While one is under way its own timer counts.
void Http2ServerConnection::Expired() {
  if (lingering_) return Close(reason_, static_cast<int>(error_));
  const int64_t now_us = shared_.loop.now_us();
  if (session_.open_streams() > 0) {
    used_us_ = now_us;
    return ScheduleNext();
  }
  if (session_.draining()) {
    if (now_us - used_us_ >= kGoAwayUs) return Close(CloseReason::kFinished, 0);
    return ScheduleNext();
  }
  now_us < used_us_ + int64_t{idle_timeout_ms_} * 1000 ? ScheduleNext() : Drain();
}

void Http2ServerConnection::EndStreams(CloseReason reason) {
  const Ending ending = reason == CloseReason::kShutdown  ? Ending::kShutdown
                        : reason == CloseReason::kRevoked ? Ending::kRevoked
                                                          : Ending::kClientReset;
  session_.EndAll([&](http2::Stream& stream) {
    if (Http2ClientStream* const side = SideOf(stream)) side->Gone(ending, 0);
  });
}

void Http2ServerConnection::Failed(int error) {
  lingering_ ? Close(reason_, static_cast<int>(error_)) : Close(CloseReason::kResetByClient, error);
}

void Http2ServerConnection::Close(CloseReason reason, int error) {
  if (std::exchange(closed_, true)) return;
  reason_ = reason;
  error_ = static_cast<uint32_t>(error);
  closed_us_ = shared_.loop.now_us();
  Timer::Unlink();
  Link<Http2ServerConnection>::Unlink();
  const bool rests = session_.open_streams() == 0 && reason == CloseReason::kShutdown;
  EndStreams(reason);
  if (rests) {
    session_.Fail(http2::ErrorCode::kNoError);
    pump_.Flush();
  }
  pump_.Stop();
  stream_->Close(reason != CloseReason::kFinished && !rests && !lingering_);
  shared_.EndConnectionsOf(identity_);
  shared_.owner.Closed(*this);
}

Outcome Http2ServerConnection::outcome() const {
  return {reason_, error_, static_cast<double>(stream_->received()), static_cast<double>(stream_->sent()),
          static_cast<double>(closed_us_ - accepted_us_) / 1000};
}

}  // namespace weft::core::http
