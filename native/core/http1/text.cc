#include "text.h"

namespace weft::core::http1 {
namespace {

constexpr bool IsOneOf(unsigned byte, std::string_view set) {
  return byte < 0x80 && set.find(static_cast<char>(byte)) != std::string_view::npos;
}

constexpr std::array<uint8_t, 256> MakeCharacters() {
  std::array<uint8_t, 256> table{};
  for (unsigned byte = 0; byte < 256; byte++) {
    const bool digit = byte >= '0' && byte <= '9';
    const bool alphanumeric = digit || (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    uint8_t classes = 0;
    if (digit) classes |= kDigitCharacter;
    if (alphanumeric || (byte != 0 && IsOneOf(byte, "!#$%&'*+-.^_`|~"))) classes |= kTokenCharacter;
    if (byte == '\t' || (byte >= 0x20 && byte != 0x7f)) classes |= kValueCharacter;
    if (byte > 0x20 && byte != 0x7f && byte != '#') classes |= kTargetCharacter;
    if (alphanumeric || (byte != 0 && IsOneOf(byte, "-._~%!$&'()*+;=:[]"))) classes |= kHostCharacter;
    table[byte] = classes;
  }
  return table;
}

}  // namespace

const std::array<uint8_t, 256> kCharacters = MakeCharacters();

const char* FindOther(CharacterClass character_class, const char* begin, const char* end) {
  while (begin != end && Is(character_class, *begin)) begin++;
  return begin;
}

}  // namespace weft::core::http1
