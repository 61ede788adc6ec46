// The frames of weft/1, as docs/wire.md lays them out: eight bytes of header (length u24, type u8, stream u32; network
// order), then as many bytes of payload as the length says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "../address.h"

namespace weft::core::weft1 {

constexpr size_t kHeaderBytes = 8;
constexpr uint32_t kMaxPayload = 128 * 1024;
constexpr uint16_t kVersion = 1;
constexpr uint32_t kInitialWindow = 256 * 1024;
constexpr uint32_t kMaxWindow = 8 * 1024 * 1024;

enum class FrameType : uint8_t {
  kHello = 0,
  kOpen = 1,
  kData = 2,
  kCredit = 3,
  kFin = 4,
  kReset = 5,
  kPing = 6,
  kPong = 7,
  kGoAway = 8,
};

constexpr uint32_t kHelloBytes = 8;  // version u16, zero u16, streams that the sender takes at once u32
// Client address 16, destination address 16, client port u16, destination port u16, Protocol u8.
constexpr uint32_t kOpenBytes = 37;
constexpr uint32_t kCreditBytes = 4;  // bytes u32
constexpr uint32_t kResetBytes = 4;   // ErrorCode u32
constexpr uint32_t kPingBytes = 8;    // opaque
constexpr uint32_t kGoAwayBytes = 4;  // the last stream that is sure to be served u32
constexpr uint32_t kMaxControlBytes = kOpenBytes;

// Of a stream (kReset), or of the whole connection.
enum class ErrorCode : uint32_t {
  kNone = 0,
  kRefused = 1,      // the stream is not accepted
  kReset = 2,        // the connection behind the stream was reset
  kProtocol = 3,     // a frame that may not come, or not now
  kFlowControl = 4,  // more data than the window, or more window than there may be
  kFrameSize = 5,
  kVersion = 6,
  kTooManyStreams = 7,  // of a stream: it is one too many
  kFlood = 8,           // control frames without end, or answers that are not read
};

// What a stream carries, as its opener claims.
enum class Protocol : uint8_t {
  kUndetermined = 0,  // the first bytes tell
  kOpaque = 1,        // nobody shall look at them
  kHttp1 = 2,
  kHttp2 = 3,
};

struct Header {
  uint32_t length;
  FrameType type;
  uint32_t stream;
};

struct OpenRequest {
  Endpoint client;
  Endpoint destination;
  Protocol protocol;
};

void WriteHeader(std::byte* to, const Header& header);
Header ReadHeader(const std::byte* from);
void WriteOpen(std::byte* to, const OpenRequest& request);
// Nothing: of a protocol that there is not.
std::optional<OpenRequest> ReadOpen(const std::byte* from);
void WriteU32(std::byte* to, uint32_t value);
uint32_t ReadU32(const std::byte* from);

}  // namespace weft::core::weft1
