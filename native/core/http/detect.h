// Which protocol a connection speaks, by its first bytes.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "../connection_record.h"

namespace weft::core::http {

// kHttp1, kHttp2 or kPlaintext; nothing: what follows decides. A start of many bytes that may become a request line is
// taken for one, as whoever reads it then says what is wrong with it.
std::optional<Detected> Detect(std::span<const std::byte> bytes);

}  // namespace weft::core::http
