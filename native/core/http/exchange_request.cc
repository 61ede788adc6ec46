// The request on its way to the upstream connection.
#include <utility>

#include "exchange.h"
#include "server_connection.h"
#include "upstream_connection.h"

namespace weft::core::http {

bool Exchange::TakesRequest() const {
  if (!s_.ready || s_.upstream->stream().blocked()) return false;
  return !s_.request_done || s_.upgraded;
}

void Exchange::ReadRequest(http1::RequestReader& reader, std::string_view& input) {
  MessageBatch batch(s_.upstream->stream());
  s_.moved_us = shared_.loop.now_us();
  if (!std::exchange(s_.head_sent, true)) batch.Add(request_head_);
  if (s_.request_read && !s_.upgraded) {  // sent again
    batch.Flush();
    return RequestSent();
  }
  while (true) {
    switch (reader.Read(input)) {
      case http1::Event::kBody:
        s_.body_begun = true;
        s_.request_bytes += reader.body().size();
        batch.AddBody(reader.body(), s_.chunked);
        continue;
      case http1::Event::kEnd:
        s_.request_read = true;
        if (s_.chunked) {
          shared_.written_end.clear();
          http1::WriteLastChunk(&reader.trailers(), {}, shared_.written_end);
          batch.Add(shared_.written_end);
        }
        batch.Flush();
        return RequestSent();
      case http1::Event::kTunnel:
        s_.request_bytes += input.size();
        batch.Add(std::exchange(input, {}));
        return batch.Flush();
      case http1::Event::kError:  // what was sent of the request is not completed
        return Fail(Ending::kInvalidRequest, static_cast<uint32_t>(reader.error()));
      default:
        return batch.Flush();
    }
  }
}

void Exchange::RequestSent() {
  s_.request_done = true;
  s_.forwarded_us = shared_.loop.now_us();
  if (s_.decision.response_timeout_ms != 0) ScheduleNext();
}

void Exchange::UpstreamDrained() {
  s_.moved_us = shared_.loop.now_us();
  EndIfFinished();
  if (!s_.ended && TakesRequest()) s_.client->stream().Resume();
}

void Exchange::ClientFinished() {
  s_.client_finished = true;
  s_.upstream->stream().Finish();
  EndIfFinished();
}

// Of both sides, and all that they said is sent. What the client's connection still keeps it sends by itself.
void Exchange::EndIfFinished() {
  if (!s_.client_finished || !s_.upstream_finished || s_.upstream->stream().blocked()) return;
  DropUpstream(false);
  End(Ending::kComplete, 0, Next::kFinish);
}

}  // namespace weft::core::http
