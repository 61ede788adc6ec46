// How long an exchange may take: one timer for all that may be too late.
#include <algorithm>
#include <cerrno>

#include "exchange.h"
#include "shared.h"
#include "upstream_link.h"

namespace weft::core::http {

uint32_t Exchange::ConnectTimeoutMs() const {
  return s_.decision.connect_timeout_ms != 0 ? s_.decision.connect_timeout_ms : UpstreamLink::kDefaultConnectTimeoutMs;
}

void Exchange::ScheduleNext() {
  const RequestDecision& decision = s_.decision;
  int64_t due_us = TimerWheel::kNever;
  const auto by = [&due_us](int64_t from_us, uint32_t within_ms) {
    if (within_ms != 0) due_us = std::min(due_us, from_us + int64_t{within_ms} * 1000);
  };
  if (s_.held) {
    by(s_.moved_us, decision.connect_timeout_ms);
  } else {
    if (!s_.upgraded) by(s_.began_us, decision.request_timeout_ms);
    by(s_.moved_us, decision.idle_timeout_ms);
    if (IsWaitingForHttp2()) by(s_.connecting_us, ConnectTimeoutMs());
    if (s_.request_done && !s_.response_begun) by(s_.forwarded_us, decision.response_timeout_ms);
  }
  if (due_us != TimerWheel::kNever) shared_.loop.Schedule(*this, due_us);
}

// Bytes that move do not touch the timer: it looks when it expires.
void Exchange::Expired() {
  const RequestDecision& decision = s_.decision;
  const int64_t now_us = shared_.loop.now_us();
  const auto is_over = [now_us](int64_t from_us, uint32_t within_ms) {
    return within_ms != 0 && now_us - from_us >= int64_t{within_ms} * 1000;
  };
  if (s_.held) {
    if (is_over(s_.moved_us, decision.connect_timeout_ms)) return Fail(Ending::kHoldTimeout, ETIMEDOUT);
    return ScheduleNext();
  }
  if (!s_.upgraded && is_over(s_.began_us, decision.request_timeout_ms))
    return Fail(Ending::kRequestTimeout, ETIMEDOUT);
  if (is_over(s_.moved_us, decision.idle_timeout_ms)) return Fail(Ending::kIdleTimeout, ETIMEDOUT);
  if (IsWaitingForHttp2() && is_over(s_.connecting_us, ConnectTimeoutMs())) {
    return Fail(Ending::kConnectTimeout, ETIMEDOUT);
  }
  if (s_.request_done && !s_.response_begun && is_over(s_.forwarded_us, decision.response_timeout_ms)) {
    return Fail(Ending::kResponseTimeout, ETIMEDOUT);
  }
  ScheduleNext();
}

}  // namespace weft::core::http
