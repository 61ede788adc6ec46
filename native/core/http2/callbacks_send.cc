#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "callbacks.h"

namespace weft::core::http2 {
namespace {

constexpr size_t kFrameHeader = 9;
constexpr size_t kLeastData = 1000;  // of a frame, unless that is all there is

}  // namespace

nghttp2_session_callbacks* Callbacks::MakeTable() {
  nghttp2_session_callbacks* table = nullptr;
  if (nghttp2_session_callbacks_new(&table) != 0) std::abort();
  nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(table, OnInvalidFrame);
  nghttp2_session_callbacks_set_on_begin_headers_callback(table, OnBeginHeaders);
  nghttp2_session_callbacks_set_on_header_callback(table, OnHeader);
  nghttp2_session_callbacks_set_on_invalid_header_callback(table, OnInvalidHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(table, OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(table, OnClose);
  nghttp2_session_callbacks_set_send_data_callback(table, Send);
  nghttp2_session_callbacks_set_on_frame_send_callback(table, OnFrameSent);
  return table;
}

const nghttp2_session_callbacks* Callbacks::Table() {
  static const nghttp2_session_callbacks* const table = MakeTable();
  return table;
}

nghttp2_data_provider Callbacks::BodyOf() { return {.source = {.ptr = nullptr}, .read_callback = Read}; }

ssize_t Callbacks::Read(nghttp2_session* library, int32_t id, uint8_t*, size_t size, uint32_t* flags,
                        nghttp2_data_source*, void* user) {
  const Session& session = *static_cast<Session*>(user);
  Stream* const stream = Find(library, id);
  if (stream == nullptr) return NGHTTP2_ERR_DEFERRED;  // it is being reset
  const size_t queued = stream->queued();
  if (queued == 0 && !stream->finished_) return NGHTTP2_ERR_DEFERRED;
  if (queued > 0) {
    const size_t room = session.out_.size() - session.filled_;
    if (room < kFrameHeader + std::min(queued, kLeastData)) return NGHTTP2_ERR_PAUSE;
    size = std::min({size, queued, room - kFrameHeader});
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  } else {
    size = 0;
  }
  if (size < queued || !stream->finished_) return static_cast<ssize_t>(size);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (stream->trailers_) {
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    static_cast<Session*>(user)->SubmitHead(*stream, *stream->trailers_);
  }
  return static_cast<ssize_t>(size);
}

int Callbacks::Send(nghttp2_session* library, nghttp2_frame* frame, const uint8_t* header, size_t size,
                    nghttp2_data_source*, void* user) {
  Session& session = *static_cast<Session*>(user);
  Stream* const stream = Find(library, frame->hd.stream_id);
  std::byte* const to = session.out_.data() + session.filled_;
  memcpy(to, header, kFrameHeader);
  memcpy(to + kFrameHeader, stream->queue_.bytes().data(), size);
  session.filled_ += kFrameHeader + size;
  stream->queue_.Written(size);
  stream->queue_.Free();
  session.guard_.Data();
  session.events_.OnSent(*stream, size);
  return 0;
}

int Callbacks::OnFrameSent(nghttp2_session* library, const nghttp2_frame* frame, void* user) {
  Session& session = *static_cast<Session*>(user);
  if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR) {
    session.failed_ = true;
    session.error_ = static_cast<ErrorCode>(frame->goaway.error_code);
  }
  const bool ends = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                    (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  Stream* const stream = ends ? Find(library, frame->hd.stream_id) : nullptr;
  if (stream == nullptr) return 0;
  stream->sent_end_ = true;
  if (stream->discards_ && !stream->received_end_) session.SubmitReset(*stream, ErrorCode::kNoError);
  return 0;
}

}  // namespace weft::core::http2
