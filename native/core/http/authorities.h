// Numbers for whom requests are for. Clients choose these names, so no more than so many are known.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "../http1/text.h"
#include "../names.h"

namespace weft::core::http {

class Authorities {
 public:
  explicit Authorities(Names& names) : names_(names) {}

  // In lower case, until the next call.
  std::string_view Lower(std::string_view authority) {
    lower_.assign(authority);
    for (char& character : lower_) character = http1::ToLower(character);
    return lower_;
  }
  // 0: none, or too many are known.
  uint32_t Number(std::string_view authority) {
    if (authority.empty()) return 0;
    const std::string_view lower = Lower(authority);
    const auto known = numbers_.find(lower);
    if (known != numbers_.end()) return known->second;
    if (numbers_.size() >= kMost) return 0;
    return numbers_.emplace(lower, names_.Intern(lower)).first->second;
  }

 private:
  static constexpr size_t kMost = 4096;

  struct Hash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  Names& names_;
  std::string lower_;
  std::unordered_map<std::string, uint32_t, Hash, std::equal_to<>> numbers_;
};

}  // namespace weft::core::http
