// A request as HTTP/1 writes it, and its response.
#include "exchange.h"
#include "message_end.h"
#include "shared.h"
#include "upstream_connection.h"

namespace weft::core::http {

void UpstreamConnection::WriteHead(const PreparedRequest& request) {
  answered_ = false;
  chunked_ = request.chunked;
  reader_.Expect(request.expected);
  shared_.to_upstreams.Add(*stream_, request.http1);
}

void UpstreamConnection::WriteBody(std::string_view bytes) { shared_.to_upstreams.AddBody(*stream_, bytes, chunked_); }

void UpstreamConnection::WriteEnd(const HeadView& trailers) {
  if (exchange_->upgraded()) {
    Flush();
    return stream_->Finish();
  }
  if (chunked_) shared_.to_upstreams.Add(*stream_, LastChunk(shared_, trailers));
}

void UpstreamConnection::Flush() {
  shared_.to_upstreams.Flush(*stream_);
  if (!stream_->blocked()) exchange_->RequestTaken(kAllTaken);
}

void UpstreamConnection::ReadResponse(std::string_view input) {
  Exchange& exchange = *exchange_;
  while (true) {
    switch (reader_.Read(input)) {
      case http1::Event::kHead: {
        const bool switches = reader_.head().body == http1::Body::kTunnel;
        answered_ = reader_.head().status >= 200 || switches;
        if (!exchange.ResponseHead(reader_.head(), switches)) return;
        continue;
      }
      case http1::Event::kBody:
        exchange.ResponseBody(reader_.body());
        continue;
      case http1::Event::kEnd:
        if (!answered_) continue;  // of an interim response
        return exchange.ResponseEnd(reader_.trailers(), input.empty());
      case http1::Event::kTunnel:
        if (!input.empty()) exchange.ResponseBody(std::exchange(input, {}));
        break;
      case http1::Event::kError:
        return exchange.ResponseInvalid(reader_.error());
      default:
        break;
    }
    if (!exchange.FlushResponse()) stream_->Pause();
    return;
  }
}

}  // namespace weft::core::http
