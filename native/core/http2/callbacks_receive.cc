#include "callbacks.h"
#include "head_check.h"

namespace weft::core::http2 {
namespace {

constexpr uint64_t kMaxExpansion = 4;  // of what is decoded, and dropped, beyond max_head
constexpr size_t kFieldOverhead = 32;  // RFC 9113, 6.5.2
constexpr size_t kKeptHead = 4096;

Session& From(void* user) { return *static_cast<Session*>(user); }

std::string_view Text(const uint8_t* bytes, size_t size) { return {reinterpret_cast<const char*>(bytes), size}; }

void SetPseudo(Head& head, std::string_view name, std::string_view value) {
  if (name == ":method") head.method_place = head.Append(value);
  if (name == ":scheme") head.scheme_place = head.Append(value);
  if (name == ":authority") head.authority_place = head.Append(value);
  if (name == ":path") head.path_place = head.Append(value);
  if (name == ":protocol") head.protocol_place = head.Append(value);
  if (name != ":status") return;
  for (const char digit : value) head.status = static_cast<uint16_t>(head.status * 10 + (digit - '0'));
}

}  // namespace

int Callbacks::Stop(Session& session, ErrorCode code) {
  session.Fail(code);
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

Stream* Callbacks::Find(nghttp2_session* library, int32_t id) {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(library, id));
}

int Callbacks::OnInvalidFrame(nghttp2_session*, const nghttp2_frame*, int, void* user) {
  Session& session = From(user);
  // Having a stream refused costs a client as little as resetting it.
  return session.guard_.Reset(session.now_us_) ? 0 : Stop(session, ErrorCode::kEnhanceYourCalm);
}

int Callbacks::OnBeginHeaders(nghttp2_session*, const nghttp2_frame*, void* user) {
  Session& session = From(user);
  session.head_.Reset();
  session.head_bytes_ = 0;
  session.head_fields_ = 0;
  session.head_error_ = http1::Error::kNone;
  return 0;
}

int Callbacks::OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name_bytes, size_t name_size,
                        const uint8_t* value_bytes, size_t value_size, uint8_t flags, void* user) {
  Session& session = From(user);
  const Limits& limits = session.limits_;
  const std::string_view name = Text(name_bytes, name_size), value = Text(value_bytes, value_size);
  session.head_bytes_ += name_size + value_size + kFieldOverhead;
  if (session.head_bytes_ > limits.max_head) {
    session.head_error_ = http1::Error::kHeadTooLarge;
    return session.head_bytes_ > kMaxExpansion * limits.max_head ? Stop(session, ErrorCode::kEnhanceYourCalm) : 0;
  }
  if (name.starts_with(':')) {
    SetPseudo(session.head_, name, value);
    return 0;
  }
  // One that a client has cut into crumbs (RFC 9113, 8.2.3) is one.
  if (name != "cookie" && ++session.head_fields_ > limits.max_fields)
    session.head_error_ = http1::Error::kTooManyFields;
  if (session.head_error_ != http1::Error::kNone) return 0;
  session.head_.Add(name, value, (flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0);
  return 0;
}

int Callbacks::OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t, const uint8_t*, size_t,
                               uint8_t, void*) {
  // nghttp2 would drop the field. A message is understood as a whole or refused.
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int Callbacks::OnData(nghttp2_session* library, uint8_t, int32_t id, const uint8_t* data, size_t size, void* user) {
  Session& session = From(user);
  session.guard_.Data();
  nghttp2_session_consume_connection(library, size);
  Stream* const stream = Find(library, id);
  if (stream == nullptr || stream->discards_) return 0;
  stream->held_ += static_cast<uint32_t>(size);
  session.events_.OnBody(*stream, std::as_bytes(std::span(data, size)));
  return 0;
}

int Callbacks::OnFrame(nghttp2_session* library, const nghttp2_frame* frame, void* user) {
  Session& session = From(user);
  switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
      OnHeadComplete(session, *frame);
      break;
    case NGHTTP2_DATA:
      break;
    case NGHTTP2_RST_STREAM:
      if (Stream* const stream = Find(library, frame->hd.stream_id)) stream->reset_by_peer_ = true;
      return 0;
    case NGHTTP2_SETTINGS:
      session.has_settings_ = true;  // its acknowledgement comes after its own
      return 0;
    case NGHTTP2_PING:
      OnPing(session, *frame);
      return 0;
    case NGHTTP2_GOAWAY:
      OnGoAway(session, *frame);
      return 0;
    default:
      return 0;
  }
  if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  Stream* const stream = Find(library, frame->hd.stream_id);
  if (stream == nullptr) return 0;
  stream->received_end_ = true;
  if (!stream->discards_) session.events_.OnEnd(*stream);
  return 0;
}

void Callbacks::OnHeadComplete(Session& session, const nghttp2_frame& frame) {
  session.head_.ends = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  const int32_t id = frame.hd.stream_id;
  if (frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
    OnRequest(session, id);
  } else if (Stream* const stream = Find(session.session_, id); stream != nullptr && !stream->discards_) {
    stream->head_received_ ? OnTrailers(session, *stream) : OnResponse(session, *stream);
  }
  if (session.head_.text_size() > kKeptHead) session.head_.FreeMemory();
}

void Callbacks::OnRequest(Session& session, int32_t id) {
  Head& head = session.head_;
  http1::Error error = session.head_error_;
  if (error == http1::Error::kNone) error = CheckRequest(head);
  Stream& stream = session.Adopt(id);
  nghttp2_session_set_stream_user_data(session.session_, id, &stream);
  stream.head_received_ = true;
  if (error == http1::Error::kNone) {
    session.events_.OnHead(stream, head);
    return;
  }
  stream.discards_ = true;
  session.events_.OnRefused(stream, error);
}

void Callbacks::OnResponse(Session& session, Stream& stream) {
  const Head& head = session.head_;
  const bool interim = head.status < 200;
  if (session.head_error_ != http1::Error::kNone ||
      (interim && ++stream.interim_responses_ > session.limits_.max_interim_responses)) {
    stream.discards_ = true;
    session.SubmitReset(stream, ErrorCode::kProtocolError);
    return;
  }
  stream.head_received_ = !interim;
  session.events_.OnHead(stream, head);
}

void Callbacks::OnTrailers(Session& session, Stream& stream) {
  if (session.head_error_ != http1::Error::kNone || CheckTrailers(session.head_) != http1::Error::kNone) {
    stream.discards_ = true;
    session.SubmitReset(stream, ErrorCode::kProtocolError);
    return;
  }
  stream.received_end_ = true;  // nothing follows trailers
  session.events_.OnTrailers(stream, session.head_);
}

void Callbacks::OnPing(Session& session, const nghttp2_frame& frame) {
  if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0 || !session.draining_ || session.role_ != Session::Role::kServer) return;
  if (!Session::IsOfDrain(frame.ping.opaque_data)) return;
  // Whatever the client sent before it heard has come.
  nghttp2_submit_goaway(session.session_, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session.session_),
                        NGHTTP2_NO_ERROR, nullptr, 0);
}

void Callbacks::OnGoAway(Session& session, const nghttp2_frame& frame) {
  const auto code = static_cast<ErrorCode>(frame.goaway.error_code);
  if (session.error_ == ErrorCode::kNoError) session.error_ = code;
  session.events_.OnGoAway(code);
}

int Callbacks::OnClose(nghttp2_session* library, int32_t id, uint32_t code, void* user) {
  Session& session = From(user);
  Stream* const found = Find(library, id);
  if (found == nullptr) return 0;
  const std::unique_ptr<Stream> stream(found);
  session.Detach(*stream);
  const bool sent = stream->sent_end_ || code == NGHTTP2_NO_ERROR;
  if ((stream->received_end_ || (stream->discards_ && code == NGHTTP2_NO_ERROR)) && sent) {
    session.guard_.StreamServed();
    session.events_.OnClosed(*stream);
    return 0;
  }
  // A client that is told to go away may repeat what was not served.
  const bool refused = session.role_ == Session::Role::kClient && code == NGHTTP2_REFUSED_STREAM;
  const bool by_peer = stream->reset_by_peer_ || refused;
  if (!by_peer && !session.guard_.Reset(session.now_us_)) session.Fail(ErrorCode::kEnhanceYourCalm);
  session.events_.OnReset(*stream, static_cast<ErrorCode>(code), by_peer);
  return 0;
}

}  // namespace weft::core::http2
