// What a peer may make us hold or do on one connection.
#pragma once

#include <cstdint>

namespace weft::core::http2 {

// So many at once, and so many per second for as long as one likes.
struct Rate {
  uint32_t burst;
  uint32_t per_second;
};

struct Limits {
  uint32_t max_streams = 1024;    // that are open at once
  uint32_t max_head = 64 * 1024;  // as SETTINGS_MAX_HEADER_LIST_SIZE counts: 32 bytes for each field on top
  uint32_t max_fields = 100;      // of a head beside its pseudo-header fields, and of a trailer section
  uint32_t max_interim_responses = 32;

  // What may be under way to us of one stream. A window grows while its reader keeps up, and as long as all windows
  // together have grown by no more than max_growth.
  uint32_t window = 64 * 1024;
  uint32_t max_window = 1 << 20;
  uint64_t max_growth = 16 << 20;
  // Of the connection: only what is between two reads, as flow control is per stream.
  uint32_t connection_window = 16 << 20;
  // What we hold of a stream's body that cannot be sent yet. As large as the largest window of another session, so
  // that whatever one gives, the other takes.
  uint32_t max_queued = 1 << 20;
  // Frames that wait to be sent and that the peer has made us send: it does not read.
  uint32_t max_waiting_frames = 10'000;

  // Beyond these a peer is abusive: GOAWAY with ENHANCE_YOUR_CALM. Useful work earns more (flood_guard.h).
  Rate settings{100, 10};
  Rate resets{1000, 100};        // streams that the peer ends early, or makes us refuse
  Rate empty_data{1000, 100};    // DATA frames that carry nothing
  Rate control{10'000, 10'000};  // HEADERS, CONTINUATION, PRIORITY, PING, WINDOW_UPDATE and unknown frames

  // A PING after so long without a byte from the peer, and how long it has for an answer; 0: none.
  int64_t ping_after_us = 0;
  int64_t ping_timeout_us = 20'000'000;
};

}  // namespace weft::core::http2
