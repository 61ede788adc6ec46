#include "prepared_request.h"

#include <sys/random.h>

#include <array>

#include "../http2/convert.h"
#include "../http2/websocket.h"
#include "scratch.h"

namespace weft::core::http {
namespace {

constexpr size_t kMostMemoryKept = 16 * 1024;

http1::Error PrepareHttp1(const http1::Head& request, const http1::RequestEdits& edits, PreparedRequest& out) {
  out.chunked = request.body == http1::Body::kChunked;
  out.expected = {.head = request.method() == "HEAD", .connect = request.connect, .upgrade = request.upgrade};
  return http1::WriteRequest(request, edits, out.http1).error;
}

// Nobody looks at the key that we are asked for.
std::string MakeWebSocketKey() {
  std::array<unsigned char, 16> random{};
  return getrandom(random.data(), random.size(), 0) == static_cast<ssize_t>(random.size()) ? http2::WebSocketKey(random)
                                                                                           : std::string();
}

}  // namespace

void PreparedRequest::Clear() {
  http1.clear();
  http2.Reset();
}

void PreparedRequest::FreeMemory() {
  if (http1.capacity() > kMostMemoryKept) http1 = std::string();
  if (http2.text_size() > kMostMemoryKept) http2.FreeMemory();
}

http1::Error Prepare(const HeadView& request, http1::RequestEdits edits, bool to_http2, Scratch& scratch,
                     PreparedRequest& out) {
  out.Clear();
  out.is_http2 = to_http2;
  if (request.http1 != nullptr) {
    return to_http2 ? http2::RequestFromHttp1(*request.http1, edits, {}, out.http2)
                    : PrepareHttp1(*request.http1, edits, out);
  }
  if (to_http2) return http2::ForwardRequest(*request.http2, edits, out.http2);
  const bool websocket = request.http2->protocol_place.size != 0;
  const http1::Error error = http2::RequestToHttp1(*request.http2, websocket ? MakeWebSocketKey() : std::string(),
                                                   scratch.text, scratch.http1);
  return error == http1::Error::kNone ? PrepareHttp1(scratch.http1, edits, out) : error;
}

}  // namespace weft::core::http
