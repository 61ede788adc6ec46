// What a pinned map's bytes mean, read from BTF (Documentation/bpf/btf.rst), so that an agent whose structures changed
// can carry the entries of its predecessor over by member name.
#pragma once

#include <bpf/btf.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace weft::capture {

struct Member {
  std::string path;  // "ipv4.bytes"
  uint32_t offset;   // bytes
  uint32_t size;
};

struct Layout {
  uint32_t key_size = 0;
  uint32_t value_size = 0;
  std::vector<Member> key;
  std::vector<Member> value;

  // 16 hex digits over the members and `shape` (type, flags and bound of the map).
  std::string Hash(const std::string& shape) const;
};

Layout ReadLayout(const btf* types, uint32_t key_type, uint32_t value_type, uint32_t key_size, uint32_t value_size);

// Members of one name are copied, up to the smaller of the two sizes; what is new is zero.
std::vector<uint8_t> Convert(std::span<const uint8_t> bytes, const std::vector<Member>& from,
                             const std::vector<Member>& to, uint32_t to_size);

}  // namespace weft::capture
