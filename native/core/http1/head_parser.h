// Reads a head line by line. Lines are judged in order and each only when it is complete, so what comes out does not
// depend on how the bytes came in.
#pragma once

#include "head.h"
#include "limits.h"

namespace weft::core::http1 {

enum class Progress : uint8_t { kMore, kDone, kFailed };

struct Parsed {
  Progress progress;
  Error error = Error::kNone;
};

// The text begins where the head, which was reset before the first call, begins, and may go on behind its end; it has
// grown since the last call. When done, head.next_line is where the head ends.
Parsed ParseHead(Head& head, std::string_view text, const Limits& limits);

}  // namespace weft::core::http1
