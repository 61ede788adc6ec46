#include "layout.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

namespace weft::capture {
namespace {

void Flatten(const btf* types, uint32_t type, const std::string& path, uint32_t offset, std::vector<Member>& members) {
  const int resolved = btf__resolve_type(types, type);
  const btf_type* description = resolved < 0 ? nullptr : btf__type_by_id(types, resolved);
  if (description == nullptr || !btf_is_composite(description)) {
    const int64_t size = btf__resolve_size(types, type);
    members.push_back({path, offset, size < 0 ? 0 : static_cast<uint32_t>(size)});
    return;
  }
  const btf_member* member = btf_members(description);
  for (int i = 0; i < btf_vlen(description); i++) {
    const std::string name = btf__name_by_offset(types, member[i].name_off);
    Flatten(types, member[i].type, path.empty() ? name : path + "." + name,
            offset + btf_member_bit_offset(description, i) / 8, members);
  }
}

void Describe(const std::vector<Member>& members, std::string& text) {
  for (const Member& member : members) {
    text += member.path + ":" + std::to_string(member.offset) + "+" + std::to_string(member.size) + ";";
  }
}

}  // namespace

Layout ReadLayout(const btf* types, uint32_t key_type, uint32_t value_type, uint32_t key_size, uint32_t value_size) {
  Layout layout{key_size, value_size, {}, {}};
  if (types != nullptr && key_type != 0) Flatten(types, key_type, "", 0, layout.key);
  if (types != nullptr && value_type != 0) Flatten(types, value_type, "", 0, layout.value);
  return layout;
}

std::string Layout::Hash(const std::string& shape) const {
  std::string text = shape + "|" + std::to_string(key_size) + "|" + std::to_string(value_size) + "|";
  Describe(key, text);
  text += "|";
  Describe(value, text);
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a: names a layout, protects nothing
  for (const char byte : text) hash = (hash ^ static_cast<uint8_t>(byte)) * 0x100000001b3;
  char digits[17];
  snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

std::vector<uint8_t> Convert(std::span<const uint8_t> bytes, const std::vector<Member>& from,
                             const std::vector<Member>& to, uint32_t to_size) {
  std::vector<uint8_t> result(to_size);
  for (const Member& target : to) {
    const auto source = std::ranges::find(from, target.path, &Member::path);
    if (source == from.end()) continue;
    memcpy(&result[target.offset], &bytes[source->offset], std::min(source->size, target.size));
  }
  return result;
}

}  // namespace weft::capture
