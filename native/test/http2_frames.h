// Frames as a peer writes them that does not keep to the rules.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "../core/http2/error_code.h"

namespace weft::test::http2 {

using core::http2::ErrorCode;

enum class Type : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kReset,
  kSettings,
  kPushPromise,
  kPing,
  kGoAway,
  kWindowUpdate,
  kContinuation,
  kUnknown = 0xfa,
};
constexpr uint8_t kEndStream = 1, kAck = 1, kEndHeaders = 4, kPadded = 8, kPriorityFlag = 32;
inline const std::string kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

inline std::string Number(uint32_t number, unsigned bytes = 4) {
  std::string text;
  while (bytes-- > 0) text.push_back(static_cast<char>(number >> (8 * bytes)));
  return text;
}
inline std::string Frame(Type type, uint8_t flags, uint32_t stream, std::string_view payload = {}) {
  return Number(static_cast<uint32_t>(payload.size()), 3) + Number(static_cast<uint32_t>(type), 1) + Number(flags, 1) +
         Number(stream) + std::string(payload);
}
inline std::string Settings(std::string_view payload = {}) { return Frame(Type::kSettings, 0, 0, payload); }
inline std::string Setting(uint32_t id, uint32_t value) { return Number(id, 2) + Number(value); }
inline std::string Reset(uint32_t stream, ErrorCode code = ErrorCode::kCancel) {
  return Frame(Type::kReset, 0, stream, Number(static_cast<uint32_t>(code)));
}

// An HPACK integer behind `pattern`, of which `bits` are its own.
inline std::string Integer(uint8_t pattern, unsigned bits, uint32_t number) {
  const uint32_t most = (1u << bits) - 1;
  if (number < most) return Number(pattern | number, 1);
  std::string text = Number(pattern | most, 1);
  for (number -= most; number >= 128; number >>= 7) text += Number((number & 127) | 128, 1);
  return text + Number(number, 1);
}
inline std::string Literal(std::string_view text) {
  return Integer(0, 7, static_cast<uint32_t>(text.size())) + std::string(text);
}
// Without indexing, and with.
inline std::string Line(std::string_view name, std::string_view value) {
  return Number(0, 1) + Literal(name) + Literal(value);
}
inline std::string IndexedLine(std::string_view name, std::string_view value) {
  return Number(0x40, 1) + Literal(name) + Literal(value);
}
inline std::string Known(uint32_t index) { return Integer(0x80, 7, index); }

using Lines = std::vector<std::pair<std::string, std::string>>;
inline std::string Block(const Lines& lines) {
  std::string block;
  for (const auto& [name, value] : lines) block += Line(name, value);
  return block;
}
inline Lines Get(const Lines& fields = {}) {
  Lines lines = {{":method", "GET"}, {":scheme", "http"}, {":authority", "weft.test"}, {":path", "/"}};
  lines.insert(lines.end(), fields.begin(), fields.end());
  return lines;
}
inline std::string Headers(uint32_t stream, std::string_view block, bool ends = true) {
  return Frame(Type::kHeaders, static_cast<uint8_t>(kEndHeaders | (ends ? kEndStream : 0)), stream, block);
}
inline std::string Headers(uint32_t stream, const Lines& lines, bool ends = true) {
  return Headers(stream, Block(lines), ends);
}

// What an endpoint did about it: "goaway CODE", "STREAM reset CODE", "STREAM STATUS" and so on, but for what every
// connection has (SETTINGS, PING and its answers, windows).
inline std::string Reaction(std::string_view bytes) {
  std::string shown;
  const auto number = [&](size_t at, unsigned size) {
    uint32_t value = 0;
    for (unsigned i = 0; i < size; i++) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
    return value;
  };
  while (bytes.size() >= 9) {
    const uint32_t size = number(0, 3), stream = number(5, 4);
    const auto type = static_cast<Type>(number(3, 1));
    if (type == Type::kGoAway) shown += "goaway " + std::string(Name(ErrorCode{number(13, 4)})) + "\n";
    if (type == Type::kReset) {
      shown += std::to_string(stream) + " reset " + std::string(Name(ErrorCode{number(9, 4)})) + "\n";
    }
    if (type == Type::kHeaders) shown += std::to_string(stream) + " head\n";
    if (type == Type::kData) shown += std::to_string(stream) + " data " + std::to_string(size) + "\n";
    bytes.remove_prefix(9 + size);
  }
  return shown;
}

}  // namespace weft::test::http2
