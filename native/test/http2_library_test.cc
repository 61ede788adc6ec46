// Also runs inside Node, which exports nghttp2 of another version.
#include <string>

#include "../core/http2/library.h"
#include "check.h"

namespace weft::test {
namespace {

TEST("HTTP/2: nghttp2 is the one that this was compiled for") {
  CHECK_EQUAL(std::string(core::http2::LibraryVersion()), std::string(NGHTTP2_VERSION));
}

}  // namespace
}  // namespace weft::test
