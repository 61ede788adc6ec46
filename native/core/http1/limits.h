// What a peer may make us hold or do for one message.
#pragma once

#include <cstdint>

namespace weft::core::http1 {

struct Limits {
  uint32_t max_head = 64 * 1024;  // bytes, with the start line and the empty line
  uint32_t max_fields = 100;      // of a head, and of a trailer section
  uint32_t max_trailers = 16 * 1024;
  uint32_t max_chunk_line = 4 * 1024;         // a chunk's size with its extensions
  uint32_t max_chunk_extensions = 16 * 1024;  // of a whole message: they are dropped, and may not outweigh it
  uint32_t max_interim_responses = 32;        // before the final one
};

}  // namespace weft::core::http1
