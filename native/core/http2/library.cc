#include "library.h"

namespace weft::core::http2 {

const char* LibraryVersion() { return nghttp2_version(0)->version_str; }

}  // namespace weft::core::http2
