// The request on its way to the upstream side.
#include <utility>

#include "client_side.h"
#include "exchange.h"
#include "shared.h"
#include "upstream_side.h"

namespace weft::core::http {

bool Exchange::TakesRequest() const { return IsReady() && !s_.upstream->blocked(); }

bool Exchange::GoOnWithRequest() {
  s_.moved_us = shared_.loop.now_us();
  if (!std::exchange(s_.head_sent, true)) s_.upstream->WriteHead(request_);
  if (!s_.request_read || s_.upgraded) return true;
  s_.upstream->WriteEnd({});  // sent again
  s_.upstream->Flush();
  RequestSent();
  return false;
}

void Exchange::RequestBody(std::string_view bytes) {
  s_.body_begun = true;
  s_.request_bytes += bytes.size();
  s_.upstream->WriteBody(bytes);
}

void Exchange::RequestEnd(const HeadView& trailers) {
  s_.request_read = true;
  s_.upstream->WriteEnd(trailers);
  FlushRequest();
  RequestSent();
}

// What was sent of the request is not completed.
void Exchange::RequestInvalid(http1::Error error) { Fail(Ending::kInvalidRequest, static_cast<uint32_t>(error)); }

void Exchange::FlushRequest() { s_.upstream->Flush(); }

void Exchange::RequestTaken(size_t bytes) { s_.client->RequestTaken(bytes); }

void Exchange::RequestSent() {
  s_.request_done = true;
  s_.forwarded_us = shared_.loop.now_us();
  if (s_.decision.response_timeout_ms != 0) ScheduleNext();
}

void Exchange::UpstreamDrained() {
  s_.moved_us = shared_.loop.now_us();
  EndIfFinished();
  if (!s_.ended && TakesRequest()) s_.client->ResumeRequest();
}

void Exchange::ClientFinished() {
  s_.client_finished = true;
  s_.upstream->WriteEnd({});
  EndIfFinished();
}

// Of both sides, and all that they said is sent. What the client's side still keeps it sends by itself.
void Exchange::EndIfFinished() {
  if (!s_.client_finished || !s_.upstream_finished || s_.upstream->blocked()) return;
  s_.ready = false;
  std::exchange(s_.upstream, nullptr)->Release(false);
  s_.request_read = true;
  End(Ending::kComplete, 0, Last::kCompleted);
}

}  // namespace weft::core::http
