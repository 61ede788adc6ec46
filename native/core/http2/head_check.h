// What nghttp2 does not check of a head: it knows names, order and number of fields, not what targets and hosts are.
#pragma once

#include "../http1/error.h"
#include "head.h"

namespace weft::core::http2 {

// Also takes the authority from Host where only that was sent, and Host out of the fields.
http1::Error CheckRequest(Head& head);
// Fields that would change a message after it has been read.
http1::Error CheckTrailers(const Head& trailers);

}  // namespace weft::core::http2
