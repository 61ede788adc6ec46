// The response on its way to the client.
#include <utility>

#include "../http2/grpc.h"
#include "client_side.h"
#include "exchange.h"
#include "shared.h"
#include "upstream_side.h"

namespace weft::core::http {

bool Exchange::ResponseHead(const HeadView& head, bool switches) {
  const bool interim = head.status() < 200 && !switches;
  const http1::FieldEdits edits = !interim && s_.response_edits ? s_.response_edits->fields() : http1::FieldEdits();
  // A client that was told to keep its body may do so for good.
  const bool unread = HasUnread() && s_.expects_continue && !s_.body_begun;
  s_.moved_us = shared_.loop.now_us();
  const http1::Error error = s_.client->WriteHead(head, edits, unread);
  if (error != http1::Error::kNone) {
    const bool ours = error == http1::Error::kEditInvalid;
    Fail(ours ? Ending::kError : Ending::kInvalidResponse, static_cast<uint32_t>(error));
    return false;
  }
  if (interim) return s_.interim = true;
  s_.status = head.status();
  s_.head_us = s_.moved_us;
  s_.response_begun = true;
  if ((s_.identity.flags & kGrpc) != 0) TakeGrpcStatus(head);
  if (switches) {
    s_.upgraded = true;
    s_.outcome_flags |= kUpgraded;
    s_.client->Switch();
  }
  return true;
}

void Exchange::ResponseBody(std::string_view bytes) {
  s_.response_bytes += bytes.size();
  s_.client->WriteBody(bytes);
}

bool Exchange::FlushResponse() {
  s_.moved_us = shared_.loop.now_us();
  s_.client->Flush();
  return !s_.client->blocked();
}

// A request that was answered before its end is not read any further, so nothing can follow it.
void Exchange::ResponseEnd(const HeadView& trailers, bool reusable) {
  s_.client->WriteEnd(trailers);
  s_.client->Flush();
  if (s_.upgraded) {
    s_.upstream_finished = true;
    return EndIfFinished();
  }
  if (!trailers.empty()) {
    s_.outcome_flags |= kHasTrailers;
    if ((s_.identity.flags & kGrpc) != 0) TakeGrpcStatus(trailers);
  }
  // As Linkerd takes it: what says nothing else went well.
  const bool is_silent = (s_.identity.flags & kGrpc) != 0 && s_.grpc_status == kNoGrpcStatus && s_.status == 200;
  if (is_silent) s_.grpc_status = 0;
  UpstreamSide* const upstream = std::exchange(s_.upstream, nullptr);
  s_.ready = false;
  s_.request_done ? upstream->Release(reusable) : upstream->Abandon(0);
  End(Ending::kComplete, 0, Last::kCompleted);
}

// What was sent of the response is not completed.
void Exchange::ResponseInvalid(http1::Error error) {
  s_.client->Flush();
  Fail(Ending::kInvalidResponse, static_cast<uint32_t>(error));
}

void Exchange::TakeGrpcStatus(const HeadView& fields) {
  const std::string_view value = fields.ValueOf("grpc-status");
  if (!value.empty()) s_.grpc_status = http2::ParseGrpcStatus(value);
}

void Exchange::UpstreamLost(uint32_t error) { Lost(Ending::kUpstreamReset, error, false); }

// A client of HTTP/2 is told the same.
void Exchange::UpstreamReset(uint32_t code, bool refused) {
  const bool repeats = refused && !s_.retried && !s_.body_begun;
  if (s_.identity.version != Version::kHttp2 || repeats) return Lost(Ending::kUpstreamReset, code, refused);
  DropUpstream(0);
  End(Ending::kUpstreamReset, code, Last::kAborted);
}

void Exchange::ResponseTaken(size_t bytes) {
  if (s_.upstream != nullptr) s_.upstream->ResponseTaken(bytes);
}

void Exchange::ClientDrained() {
  s_.moved_us = shared_.loop.now_us();
  if (s_.ready) s_.upstream->ResumeResponse();
}

}  // namespace weft::core::http
