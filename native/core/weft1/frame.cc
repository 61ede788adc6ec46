#include "frame.h"

#include <cstring>

namespace weft::core::weft1 {
namespace {

void WriteU16(std::byte* to, uint16_t value) {
  to[0] = static_cast<std::byte>(value >> 8);
  to[1] = static_cast<std::byte>(value);
}

uint16_t ReadU16(const std::byte* from) {
  return static_cast<uint16_t>(std::to_integer<unsigned>(from[0]) << 8 | std::to_integer<unsigned>(from[1]));
}

}  // namespace

void WriteU32(std::byte* to, uint32_t value) {
  WriteU16(to, static_cast<uint16_t>(value >> 16));
  WriteU16(to + 2, static_cast<uint16_t>(value));
}

uint32_t ReadU32(const std::byte* from) { return uint32_t{ReadU16(from)} << 16 | ReadU16(from + 2); }

void WriteHeader(std::byte* to, const Header& header) {
  WriteU32(to, header.length << 8 | static_cast<uint32_t>(header.type));
  WriteU32(to + 4, header.stream);
}

Header ReadHeader(const std::byte* from) {
  const uint32_t word = ReadU32(from);
  return {word >> 8, static_cast<FrameType>(word & 0xff), ReadU32(from + 4)};
}

void WriteOpen(std::byte* to, const OpenRequest& request) {
  memcpy(to, request.client.address.bytes, 16);
  memcpy(to + 16, request.destination.address.bytes, 16);
  WriteU16(to + 32, request.client.port);
  WriteU16(to + 34, request.destination.port);
  to[36] = static_cast<std::byte>(request.protocol);
}

std::optional<OpenRequest> ReadOpen(const std::byte* from) {
  const auto protocol = static_cast<Protocol>(from[36]);
  if (protocol > Protocol::kHttp2) return std::nullopt;
  OpenRequest request{};
  memcpy(request.client.address.bytes, from, 16);
  memcpy(request.destination.address.bytes, from + 16, 16);
  request.client.port = ReadU16(from + 32);
  request.destination.port = ReadU16(from + 34);
  request.protocol = protocol;
  return request;
}

}  // namespace weft::core::weft1
