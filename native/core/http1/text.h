// Characters and lists of RFC 9110, section 5.6.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "error.h"

namespace weft::core::http1 {

enum CharacterClass : uint8_t {
  kTokenCharacter = 1,
  kValueCharacter = 2,   // of a field's value or a reason: no controls but HTAB
  kTargetCharacter = 4,  // see IsTarget()
  kHostCharacter = 8,    // of a host with its port
  kDigitCharacter = 16,
};

extern const std::array<uint8_t, 256> kCharacters;

inline bool Is(CharacterClass character_class, char character) {
  return (kCharacters[static_cast<uint8_t>(character)] & character_class) != 0;
}

// The first that is not of the class; end() if all are.
const char* FindOther(CharacterClass character_class, const char* begin, const char* end);

inline bool IsAll(CharacterClass character_class, std::string_view text) {
  return FindOther(character_class, text.data(), text.data() + text.size()) == text.data() + text.size();
}

inline bool IsToken(std::string_view text) { return !text.empty() && IsAll(kTokenCharacter, text); }

// Of any field's value, which may be empty. Branch-free, as most bytes of a head are those of values.
inline bool IsValue(std::string_view text) {
  unsigned bad = 0;
  for (const char character : text) {
    const auto byte = static_cast<uint8_t>(character);
    bad |= static_cast<unsigned>(byte < 0x20) & static_cast<unsigned>(byte != '\t');
    bad |= static_cast<unsigned>(byte == 0x7f);
  }
  return bad == 0;
}

// NUL and CR have names of their own wherever they are met.
inline Error ErrorOf(char character, Error otherwise) {
  if (character == '\0') return Error::kNul;
  return character == '\r' ? Error::kBareCr : otherwise;
}

inline bool IsBlank(char character) { return character == ' ' || character == '\t'; }

inline std::string_view Trim(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

inline char ToLower(char character) {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character | 0x20) : character;
}

inline bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); i++) {
    if (ToLower(a[i]) != ToLower(b[i])) return false;
  }
  return true;
}

// Shows every element, empty ones included, until the visitor returns false. Elements have no quoted strings.
template <typename Visit>
bool ForEachElement(std::string_view list, Visit visit) {
  while (true) {
    const size_t comma = list.find(',');
    if (!visit(Trim(list.substr(0, comma)))) return false;
    if (comma == std::string_view::npos) return true;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace weft::core::http1
