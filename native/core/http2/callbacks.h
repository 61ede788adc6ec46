// What nghttp2 calls.
#pragma once

#include "library.h"
#include "session.h"

namespace weft::core::http2 {

class Callbacks {
 public:
  static const nghttp2_session_callbacks* Table();
  static nghttp2_data_provider BodyOf();

 private:
  static nghttp2_session_callbacks* MakeTable();
  static Stream* Find(nghttp2_session* session, int32_t id);

  // Receiving.
  static int OnInvalidFrame(nghttp2_session* library, const nghttp2_frame* frame, int error, void* user);
  static int OnBeginHeaders(nghttp2_session* library, const nghttp2_frame* frame, void* user);
  static int OnHeader(nghttp2_session* library, const nghttp2_frame* frame, const uint8_t* name, size_t name_size,
                      const uint8_t* value, size_t value_size, uint8_t flags, void* user);
  static int OnInvalidHeader(nghttp2_session* library, const nghttp2_frame* frame, const uint8_t* name,
                             size_t name_size, const uint8_t* value, size_t value_size, uint8_t flags, void* user);
  static int OnData(nghttp2_session* library, uint8_t flags, int32_t id, const uint8_t* data, size_t size, void* user);
  static int OnFrame(nghttp2_session* library, const nghttp2_frame* frame, void* user);
  static int OnClose(nghttp2_session* library, int32_t id, uint32_t code, void* user);

  // Sending.
  static ssize_t Read(nghttp2_session* library, int32_t id, uint8_t* buffer, size_t size, uint32_t* flags,
                      nghttp2_data_source* source, void* user);
  static int Send(nghttp2_session* library, nghttp2_frame* frame, const uint8_t* header, size_t size,
                  nghttp2_data_source* source, void* user);
  static int OnFrameSent(nghttp2_session* library, const nghttp2_frame* frame, void* user);

  static int Stop(Session& session, ErrorCode code);
  static void OnHeadComplete(Session& session, const nghttp2_frame& frame);
  static void OnRequest(Session& session, int32_t id);
  static void OnResponse(Session& session, Stream& stream);
  static void OnTrailers(Session& session, Stream& stream);
  static void OnPing(Session& session, const nghttp2_frame& frame);
  static void OnGoAway(Session& session, const nghttp2_frame& frame);
};

}  // namespace weft::core::http2
