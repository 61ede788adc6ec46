// Numbers for names that many connections share: identities of workloads. A name keeps its number for good; there are
// as many as service accounts that the node has to do with.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace weft::core {

class Names {
 public:
  // Never 0.
  uint32_t Intern(std::string_view name) {
    if (const uint32_t known = Find(name); known != 0) return known;
    names_.emplace_back(name);
    const auto number = static_cast<uint32_t>(names_.size());
    numbers_.emplace(names_.back(), number);
    return number;
  }
  // 0: nobody interned it.
  uint32_t Find(std::string_view name) const {
    const auto found = numbers_.find(std::string(name));
    return found == numbers_.end() ? 0 : found->second;
  }
  // Of a number that Intern() gave; empty for others.
  std::string_view name(uint32_t number) const {
    return number == 0 || number > names_.size() ? std::string_view() : std::string_view(names_[number - 1]);
  }

 private:
  std::vector<std::string> names_;
  std::unordered_map<std::string, uint32_t> numbers_;
};

}  // namespace weft::core
