#include "client_session.h"

#include "library.h"

namespace weft::core::http2 {

bool ClientSession::can_open() const {
  if (failed_ || draining_ || nghttp2_session_check_request_allowed(session_) == 0) return false;
  const uint32_t theirs = nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  return open_streams() < limits_.max_streams && open_streams() < theirs;
}

Stream* ClientSession::Open(const Head& request) {
  if (!can_open()) return nullptr;
  Stream& stream = Adopt(0);
  if (!SubmitHead(stream, request)) {
    Abandon(stream);
    return nullptr;
  }
  Announce();
  return &stream;
}

bool ClientSession::takes_extended_connect() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

}  // namespace weft::core::http2
