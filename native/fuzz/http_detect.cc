// What a prefix decided, the rest cannot change; and a request line is decided in bounded time.
#include <cstdint>
#include <cstdlib>

#include "../core/http/detect.h"

using weft::core::http::Detect;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto whole = Detect(bytes);
  if (size > 4096 && !whole) abort();
  for (size_t length = 0; length < size; length++) {
    const auto part = Detect(bytes.first(length));
    if (!part) continue;
    if (part != whole) abort();
    break;
  }
  return 0;
}
