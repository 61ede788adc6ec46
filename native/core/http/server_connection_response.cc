// What a client of HTTP/1 is answered.
#include "../http2/convert.h"
#include "exchange.h"
#include "message_end.h"
#include "server_connection.h"
#include "synthetic_response.h"

namespace weft::core::http {

http1::Error ServerConnection::WriteHead(const HeadView& response, const http1::FieldEdits& fields, bool unread) {
  const http1::Head* head = response.http1;
  if (head == nullptr) {
    Scratch& scratch = shared_.scratch;
    head = &scratch.http1;
    const http1::Error error =
        http2::ResponseToHttp1(*response.http2, exchange_->asked(), {}, scratch.text, scratch.http1);
    if (error != http1::Error::kNone) return error;
  }
  const bool interim = head->status < 200 && head->body != http1::Body::kTunnel;
  if (interim && http10_) return http1::Error::kNone;
  http1::ResponseEdits edits{.fields = fields, .to_http10 = http10_};
  if (!interim) edits.close = !persistent_ || shared_.draining || unread;
  // What is batched of an earlier head lies where this one is written.
  Flush();
  shared_.written_head.clear();
  const http1::Written written = http1::WriteResponse(*head, edits, shared_.written_head);
  if (written.error != http1::Error::kNone) return written.error;
  shared_.to_clients.Add(*stream_, shared_.written_head);
  interim_ = interim;
  if (interim) return http1::Error::kNone;
  chunked_ = written.body == http1::Body::kChunked;
  closes_ = written.close;
  return http1::Error::kNone;
}

void ServerConnection::WriteBody(std::string_view bytes) { shared_.to_clients.AddBody(*stream_, bytes, chunked_); }

void ServerConnection::WriteEnd(const HeadView& trailers) {
  if (switched_) {
    Flush();
    return stream_->Finish();
  }
  if (chunked_) shared_.to_clients.Add(*stream_, LastChunk(shared_, trailers));
}

void ServerConnection::WriteSynthetic(const ResponseDefinition& response, bool unread) {
  closes_ = response.closes || !persistent_ || shared_.draining || unread || interim_;
  shared_.written_head.clear();
  const RequestIdentity& asked = exchange_->identity();
  const bool grpc = (asked.flags & kGrpc) != 0;
  WriteSyntheticHttp1(response, {.grpc = grpc, .head = exchange_->asked().head, .http10 = http10_, .close = closes_},
                      shared_.written_head);
  stream_->Write(shared_.written_head);
}

void ServerConnection::Flush() {
  shared_.to_clients.Flush(*stream_);
  if (!stream_->blocked() && exchange_ != nullptr) exchange_->ResponseTaken(kAllTaken);
}

// From now on both sides say what they like.
void ServerConnection::Switch() {
  switched_ = closes_ = true;
  chunked_ = false;
  reader_.Switch();
  stream_->Resume();
}

}  // namespace weft::core::http
