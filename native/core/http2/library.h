// nghttp2 as this project builds it (deploy/setup/build-nghttp2): its symbols are this object's own.
#pragma once

#define NGHTTP2_STATICLIB
#include <nghttp2/nghttp2.h>

namespace weft::core::http2 {

// Of the code that runs. Equal to NGHTTP2_VERSION unless another nghttp2 has taken its place.
const char* LibraryVersion();

}  // namespace weft::core::http2
