// The response on its way to the client.
#include <charconv>
#include <utility>

#include "exchange.h"
#include "server_connection.h"
#include "upstream_connection.h"

namespace weft::core::http {

void Exchange::ReadResponse(std::string_view input) {
  http1::ResponseReader& reader = s_.upstream->reader();
  ByteStream& client = s_.client->stream();
  MessageBatch batch(client);
  s_.moved_us = shared_.loop.now_us();
  while (true) {
    switch (reader.Read(input)) {
      case http1::Event::kHead:
        if (!PassHead(reader.head(), batch)) return;
        continue;
      case http1::Event::kBody:
        s_.response_bytes += reader.body().size();
        batch.AddBody(reader.body(), s_.response_chunked);
        continue;
      case http1::Event::kEnd:
        if (!s_.response_begun) continue;  // of an interim response
        PassEnd(reader.trailers(), batch);
        return Complete(input.empty() && reader.ready());
      case http1::Event::kTunnel:
        s_.response_bytes += input.size();
        batch.Add(std::exchange(input, {}));
        batch.Flush();
        if (client.blocked()) s_.upstream->stream().Pause();
        return;
      case http1::Event::kError:  // what was sent of the response is not completed
        batch.Flush();
        return Fail(Ending::kInvalidResponse, static_cast<uint32_t>(reader.error()));
      default:
        batch.Flush();
        if (client.blocked()) s_.upstream->stream().Pause();
        return;
    }
  }
}

// false: the exchange has ended.
bool Exchange::PassHead(const http1::Head& head, MessageBatch& batch) {
  const bool switches = head.body == http1::Body::kTunnel;
  const bool interim = head.status < 200 && !switches;
  if (interim && s_.http10) return true;
  http1::ResponseEdits edits{.to_http10 = s_.http10};
  if (!interim) {
    if (s_.response_edits) edits.fields = s_.response_edits->fields();
    // A client that was told to keep its body may do so for good.
    const bool unread = s_.has_body && !s_.request_read && s_.expects_continue && !s_.body_begun;
    edits.close = !s_.persistent || shared_.draining || unread;
  }
  // What is batched of an earlier head lies where this one is written.
  batch.Flush();
  shared_.written_head.clear();
  const http1::Written written = http1::WriteResponse(head, edits, shared_.written_head);
  if (written.error != http1::Error::kNone) {
    Fail(Ending::kError, static_cast<uint32_t>(written.error));
    return false;
  }
  batch.Add(shared_.written_head);
  if (interim) return s_.interim = true;
  s_.status = head.status;
  s_.head_us = shared_.loop.now_us();
  s_.response_begun = true;
  s_.response_chunked = written.body == http1::Body::kChunked;
  s_.closes = written.close;
  if ((s_.identity.flags & kGrpc) != 0) TakeGrpcStatus(head);
  if (switches) Upgrade();
  return true;
}

// From now on both sides say what they like.
void Exchange::Upgrade() {
  s_.upgraded = true;
  s_.outcome_flags |= kUpgraded;
  s_.client->reader().Switch();
  s_.client->stream().Resume();
}

void Exchange::PassEnd(const http1::Head& trailers, MessageBatch& batch) {
  if (!trailers.fields.empty()) {
    s_.outcome_flags |= kHasTrailers;
    if ((s_.identity.flags & kGrpc) != 0) TakeGrpcStatus(trailers);
  }
  if (s_.response_chunked) {
    shared_.written_end.clear();
    http1::WriteLastChunk(&trailers, {}, shared_.written_end);
    batch.Add(shared_.written_end);
  }
  batch.Flush();
}

void Exchange::TakeGrpcStatus(const http1::Head& fields) {
  const http1::Field* const field = fields.Find("grpc-status");
  if (field == nullptr) return;
  const std::string_view value = fields.value(*field);
  uint32_t status = 0;
  const auto read = std::from_chars(value.data(), value.data() + value.size(), status);
  if (read.ec == std::errc() && read.ptr == value.data() + value.size()) s_.grpc_status = status;
}

// A request that was answered before its end is not read any further, so nothing can follow it.
void Exchange::Complete(bool reusable) {
  UpstreamConnection* const upstream = std::exchange(s_.upstream, nullptr);
  s_.ready = false;
  const bool whole = s_.request_done;
  reusable&& whole ? upstream->Release() : upstream->Close(!whole);
  End(Ending::kComplete, 0, s_.closes || !s_.request_read ? Next::kFinish : Next::kRequest);
}

void Exchange::UpstreamEnded() {
  if (s_.upgraded) {
    s_.upstream_finished = true;
    s_.client->stream().Finish();
    return EndIfFinished();
  }
  http1::ResponseReader& reader = s_.upstream->reader();
  const bool complete = reader.ReadEnd() == http1::Event::kEnd && s_.response_begun;
  if (!complete) return Lost(Ending::kUpstreamReset, 0);
  MessageBatch batch(s_.client->stream());
  PassEnd(reader.trailers(), batch);
  Complete(false);
}

// The connection is closed, but not forgotten before this batch of events is over.
void Exchange::UpstreamFailed(uint32_t error) { Lost(Ending::kUpstreamReset, error); }

void Exchange::ClientDrained() {
  s_.moved_us = shared_.loop.now_us();
  if (s_.ready) s_.upstream->stream().Resume();
}

}  // namespace weft::core::http
