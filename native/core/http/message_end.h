// The end of a message in the version of HTTP of whoever it goes to, with the trailers that came in either.
#pragma once

#include <string_view>

#include "../http2/session.h"
#include "head_view.h"

namespace weft::core::http {

struct Shared;

// Of a chunked body of HTTP/1. Good until the next one.
std::string_view LastChunk(Shared& shared, const HeadView& trailers);
void FinishStream(Shared& shared, http2::Session& session, http2::Stream& stream, const HeadView& trailers);

}  // namespace weft::core::http
