// A request's head as it is forwarded, in the form of the upstream connection.
#pragma once

#include <string>
#include <string_view>

#include "../http1/framing.h"
#include "../http1/writer.h"
#include "../http2/head.h"
#include "head_view.h"

namespace weft::core::http {

struct Scratch;

struct PreparedRequest {
  std::string http1;
  http2::Head http2;
  bool is_http2 = false;
  // Of HTTP/1.
  bool chunked = false;
  http1::Exchange expected;

  bool empty() const { return is_http2 ? http2.text_size() == 0 : http1.empty(); }
  // Keeps the memory.
  void Clear();
  void FreeMemory();
};

http1::Error Prepare(const HeadView& request, http1::RequestEdits edits, bool to_http2, Scratch& scratch,
                     PreparedRequest& out);

}  // namespace weft::core::http
