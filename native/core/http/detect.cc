#include "detect.h"

#include <algorithm>
#include <string_view>

#include "../http1/text.h"

namespace weft::core::http {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::string_view kVersion = "HTTP/";
constexpr size_t kMostMethod = 32;
constexpr size_t kEnoughOfATarget = 2048;

// Of all methods that are registered or in use. Methods are case-sensitive; waiting for the rest of any token would
// keep every client waiting whose first message is a word.
constexpr std::string_view kMethodCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ-";

bool IsTargetBegin(char character) {
  return character == '/' || character == '*' || http1::Is(http1::kHostCharacter, character);
}

}  // namespace

std::optional<Detected> Detect(std::span<const std::byte> bytes) {
  std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (text.starts_with(kPreface)) return Detected::kHttp2;
  if (kPreface.starts_with(text)) return std::nullopt;
  // One empty line may precede a request: RFC 9112, 2.2.
  if (text.starts_with("\r\n")) text.remove_prefix(2);
  if (text.empty() || text == "\r") return std::nullopt;

  const size_t method = std::min(text.find_first_not_of(kMethodCharacters), text.size());
  if (method > kMostMethod) return Detected::kPlaintext;
  if (method == text.size()) return std::nullopt;
  if (method == 0 || text[method] != ' ') return Detected::kPlaintext;

  const std::string_view rest = text.substr(method + 1);
  if (rest.empty()) return std::nullopt;
  if (!IsTargetBegin(rest.front())) return Detected::kPlaintext;
  const size_t space = rest.substr(0, kEnoughOfATarget).find_first_of(" \n");
  if (space == std::string_view::npos) {
    return rest.size() < kEnoughOfATarget ? std::nullopt : std::optional(Detected::kHttp1);
  }
  if (rest[space] == '\n') return Detected::kPlaintext;
  const std::string_view version = rest.substr(space + 1, kVersion.size());
  if (version == kVersion) return Detected::kHttp1;
  return kVersion.starts_with(version) ? std::nullopt : std::optional(Detected::kPlaintext);
}

}  // namespace weft::core::http
