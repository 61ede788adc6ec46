#include "http2_upstream_connection.h"

#include <algorithm>
#include <utility>

#include "http2_upstream_stream.h"
#include "shared.h"

namespace weft::core::http {
namespace {

constexpr int64_t kMaxIdleUs = 30'000'000;
// Of one that is being made, as nobody knows yet how many its server takes.
constexpr uint32_t kMostWaiting = 100;

constexpr http2::Limits kLimits = [] {
  http2::Limits limits;
  limits.ping_after_us = 20'000'000;
  return limits;
}();

Http2UpstreamStream* SideOf(http2::Stream& stream) { return static_cast<Http2UpstreamStream*>(stream.context); }

}  // namespace

Http2UpstreamConnection::Http2UpstreamConnection(Shared& shared, const UpstreamKey& key,
                                                 Http2UpstreamPool::Endpoint& endpoint)
    : UpstreamLink(shared, key, weft1::Protocol::kHttp2),
      endpoint_(endpoint),
      session_(kLimits, *this),
      pump_(shared, session_, *this),
      used_us_(shared.loop.now_us()) {}

Http2UpstreamConnection::~Http2UpstreamConnection() = default;

bool Http2UpstreamConnection::HasRoom() const {
  return connected_ ? waiting_count_ == 0 && session_.can_open() : waiting_count_ < kMostWaiting;
}

bool Http2UpstreamConnection::CanBegin(const Http2UpstreamStream& side) const {
  return session_.can_open() && (session_.has_settings() || !side.NeedsSettings());
}

void Http2UpstreamConnection::Add(Http2UpstreamStream& side) {
  if (connected_ && waiting_count_ == 0 && CanBegin(side)) return side.Ready();
  waiting_.PushBack(side);
  waiting_count_++;
}

void Http2UpstreamConnection::ServeWaiting() {
  while (!failed_.empty()) failed_.PopFront().Lost(0);
  while (!closed_ && waiting_count_ > 0 && CanBegin(waiting_.front())) {
    waiting_count_--;
    waiting_.PopFront().Ready();
  }
}

void Http2UpstreamConnection::Forget(Http2UpstreamStream& side) {
  if (!side.linked()) return;
  side.Unlink();
  if (!side.failed()) waiting_count_--;
}

void Http2UpstreamConnection::CouldNotOpen(Http2UpstreamStream& side) {
  failed_.PushBack(side);
  pump_.Announce();
}

void Http2UpstreamConnection::Connected() {
  pump_.Start(*stream_);
  ScheduleNext();
  ServeWaiting();
}

void Http2UpstreamConnection::NotConnected(Ending ending, int error) {
  if (closed_) return;
  closed_ = true;
  shared_.http2_pool.Closing(*this);
  CloseLink(true);
  while (!waiting_.empty()) waiting_.PopFront().NotReady(ending, static_cast<uint32_t>(error));
  shared_.http2_pool.Closed(*this);
}

size_t Http2UpstreamConnection::Received(std::string_view bytes) {
  pump_.Receive(bytes);
  return bytes.size();
}

void Http2UpstreamConnection::Pumped() {
  ServeWaiting();
  if (closed_) return;
  if (session_.open_streams() > 0) used_us_ = shared_.loop.now_us();
  if (pump_.IsDone()) Close(0);
}

void Http2UpstreamConnection::OnHead(http2::Stream& stream, const http2::Head& head) {
  if (Http2UpstreamStream* const side = SideOf(stream)) side->ReceivedHead(head);
}

void Http2UpstreamConnection::OnBody(http2::Stream& stream, std::span<const std::byte> bytes) {
  if (Http2UpstreamStream* const side = SideOf(stream)) side->Received(bytes);
}

void Http2UpstreamConnection::OnTrailers(http2::Stream& stream, const http2::Head& trailers) {
  if (Http2UpstreamStream* const side = SideOf(stream)) side->ReceivedEnd(trailers);
}

void Http2UpstreamConnection::OnEnd(http2::Stream& stream) {
  if (Http2UpstreamStream* const side = SideOf(stream)) side->ReceivedEnd({});
}

void Http2UpstreamConnection::OnSent(http2::Stream& stream, size_t bytes) {
  if (Http2UpstreamStream* const side = SideOf(stream)) side->Sent(bytes);
}

void Http2UpstreamConnection::OnClosed(http2::Stream& stream) {
  if (Http2UpstreamStream* const side = SideOf(stream)) side->Closed();
}

void Http2UpstreamConnection::OnReset(http2::Stream& stream, http2::ErrorCode code, bool by_peer) {
  if (Http2UpstreamStream* const side = SideOf(stream)) side->Reset(code, by_peer);
}

void Http2UpstreamConnection::Retire() {
  if (closed_ || session_.draining()) return;
  shared_.http2_pool.Closing(*this);
  session_.Drain();
  // Those that wait here go elsewhere.
  while (waiting_count_ > 0) {
    waiting_count_--;
    waiting_.PopFront().Lost(0);
  }
}

void Http2UpstreamConnection::ScheduleNext() {
  const int64_t now_us = shared_.loop.now_us();
  int64_t due_us = used_us_ + kMaxIdleUs;
  if (session_.open_streams() > 0) {
    const int64_t ping_us = session_.deadline_us();
    due_us = ping_us != 0 ? ping_us : now_us + kLimits.ping_after_us;
  }
  shared_.loop.Schedule(*this, std::max(due_us, now_us + TimerWheel::kTickUs));
}

// Streams do not touch the timer: it looks when it expires.
void Http2UpstreamConnection::TimeIsUp() {
  const int64_t now_us = shared_.loop.now_us();
  if (session_.open_streams() == 0 && now_us - used_us_ >= kMaxIdleUs) return Close(0);
  if (session_.open_streams() > 0 && !session_.OnTime(now_us)) return Close(ETIMEDOUT);
  ScheduleNext();
}

void Http2UpstreamConnection::Close(int error) {
  if (closed_) return;
  if (!connected_) return NotConnected(Ending::kShutdown, error);
  closed_ = true;
  shared_.http2_pool.Closing(*this);
  const bool resets = session_.open_streams() > 0;
  if (!resets) {
    session_.Fail(session_.error());
    pump_.Flush();
  }
  pump_.Stop();
  CloseLink(resets);
  session_.EndAll([error](http2::Stream& stream) {
    if (Http2UpstreamStream* const side = SideOf(stream)) side->Lost(static_cast<uint32_t>(error));
  });
  waiting_count_ = 0;
  while (!waiting_.empty()) waiting_.PopFront().Lost(static_cast<uint32_t>(error));
  while (!failed_.empty()) failed_.PopFront().Lost(static_cast<uint32_t>(error));
  shared_.http2_pool.Closed(*this);
}

}  // namespace weft::core::http
