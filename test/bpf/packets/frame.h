// Packets as bytes, well-formed or not, put together from the inside out: Ethernet(kIpv4, Ipv4(kTcp, Tcp(kSyn))).
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace weft::test {

using Bytes = std::vector<uint8_t>;

constexpr uint16_t kIpv4 = 0x0800, kIpv6 = 0x86dd, kVlan = 0x8100, kArp = 0x0806;
constexpr uint8_t kHopByHop = 0, kIcmp = 1, kTcp = 6, kUdp = 17, kRouting = 43, kFragment = 44, kEsp = 50, kAh = 51,
                  kIcmpv6 = 58, kNoNext = 59, kDestination = 60;
constexpr uint8_t kFin = 0x01, kSyn = 0x02, kRst = 0x04, kPsh = 0x08, kAck = 0x10, kEce = 0x40, kCwr = 0x80;
constexpr uint16_t kDontFragment = 0x4000, kMoreFragments = 0x2000;

constexpr uint16_t kSourcePort = 40000, kDestinationPort = 80;
constexpr uint8_t kSourceV4[4] = {10, 0, 0, 9}, kDestinationV4[4] = {10, 0, 0, 7};
constexpr uint8_t kSourceV6[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
constexpr uint8_t kDestinationV6[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
constexpr uint8_t kSourceBlockV4[4] = {169, 254, 116, 9};
constexpr uint8_t kSourceBlockV6[16] = {0xfd, 0x77, 0x65, 0x66, 0x74, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
constexpr uint8_t kLinkLocalV6[16] = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};

inline void Put16(Bytes* bytes, size_t at, size_t value) {
  (*bytes)[at] = static_cast<uint8_t>(value >> 8);
  (*bytes)[at + 1] = static_cast<uint8_t>(value);
}

inline Bytes operator+(Bytes first, const Bytes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

inline Bytes Ethernet(uint16_t type, const Bytes& payload) {
  Bytes header(14);
  Put16(&header, 12, type);
  return header + payload;
}

inline Bytes VlanTag(uint16_t type, const Bytes& payload) {
  Bytes tag = {0, 5, 0, 0};
  Put16(&tag, 2, type);
  return tag + payload;
}

inline Bytes Tcp(uint8_t flags, uint16_t source_port = kSourcePort) {
  Bytes header(20);
  Put16(&header, 0, source_port);
  Put16(&header, 2, kDestinationPort);
  header[12] = 5 << 4;
  header[13] = flags;
  return header;
}

inline Bytes Udp() {
  Bytes header(8);
  Put16(&header, 0, kSourcePort);
  Put16(&header, 2, kDestinationPort);
  Put16(&header, 4, 8);
  return header;
}

struct Ipv4Fields {
  uint8_t words = 5;      // as the header claims
  uint16_t fragment = 0;  // flags and offset
  Bytes options;
};

inline Bytes Ipv4(uint8_t protocol, const Bytes& payload, const Ipv4Fields& fields = {},
                  const uint8_t (&destination)[4] = kDestinationV4) {
  Bytes header(20);
  header[0] = static_cast<uint8_t>(0x40 | fields.words);
  Put16(&header, 2, header.size() + fields.options.size() + payload.size());
  Put16(&header, 6, fields.fragment);
  header[8] = 64;
  header[9] = protocol;
  memcpy(&header[12], kSourceV4, sizeof kSourceV4);
  memcpy(&header[16], destination, sizeof destination);
  return header + fields.options + payload;
}

inline Bytes Ipv6(uint8_t next, const Bytes& payload, const uint8_t (&destination)[16] = kDestinationV6) {
  Bytes header(40);
  header[0] = 0x60;
  Put16(&header, 4, payload.size());
  header[6] = next;
  header[7] = 64;
  memcpy(&header[8], kSourceV6, sizeof kSourceV6);
  memcpy(&header[24], destination, sizeof destination);
  return header + payload;
}

// Hop-by-hop, routing or destination options, of 8 bytes and as many more as asked for.
inline Bytes Extension(uint8_t next, const Bytes& payload, uint8_t more_words = 0) {
  Bytes header(8 + 8 * size_t{more_words});
  header[0] = next;
  header[1] = more_words;
  header[2] = 1;  // PadN over the rest
  header[3] = static_cast<uint8_t>(header.size() - 4);
  return header + payload;
}

inline Bytes Fragment(uint8_t next, uint16_t offset, bool more, const Bytes& payload) {
  Bytes header(8);
  header[0] = next;
  Put16(&header, 2, static_cast<size_t>(offset << 3 | (more ? 1 : 0)));
  header[7] = 1;
  return header + payload;
}

inline Bytes CutTo(Bytes frame, size_t size) {
  frame.resize(size);
  return frame;
}

}  // namespace weft::test
