// Feeds the parser every input whole and in prefixes: what a prefix decided, the rest cannot change.
#include "../core/tls/client_hello.h"

#include <cstdlib>

using weft::core::tls::ClientHello;
using weft::core::tls::ParseClientHello;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const std::byte> bytes(reinterpret_cast<const std::byte*>(data), size);
  const ClientHello whole = ParseClientHello(bytes);
  for (size_t length = 0; length < size;) {
    const ClientHello part = ParseClientHello(bytes.first(length));
    if (part.state != ClientHello::State::kNeedMore) {
      if (part.state != whole.state || part.server_name != whole.server_name || part.protocols != whole.protocols)
        abort();
      break;
    }
    if (part.needed <= length || part.needed > weft::core::tls::kMaxClientHelloBytes) abort();
    // Short of what it asked for, it must ask again.
    if (part.needed - 1 > length && part.needed - 1 <= size) {
      if (ParseClientHello(bytes.first(part.needed - 1)).state != ClientHello::State::kNeedMore) abort();
    }
    length = part.needed;
  }
  return 0;
}
