#include "grpc.h"

#include "../http1/text.h"

namespace weft::core::http2 {
namespace {

constexpr std::string_view kGrpc = "application/grpc";
constexpr size_t kMostDigits = 8;
constexpr uint32_t kLastStatus = 16;

std::optional<int64_t> ParseDigits(std::string_view text) {
  if (text.empty() || text.size() > kMostDigits || !http1::IsAll(http1::kDigitCharacter, text)) return std::nullopt;
  int64_t number = 0;
  for (const char digit : text) number = number * 10 + (digit - '0');
  return number;
}

}  // namespace

bool IsGrpc(std::string_view content_type) {
  if (!http1::EqualsIgnoringCase(content_type.substr(0, kGrpc.size()), kGrpc)) return false;
  const std::string_view rest = http1::Trim(content_type.substr(kGrpc.size()));
  return rest.empty() || rest.front() == '+' || rest.front() == ';';
}

std::optional<int64_t> ParseGrpcTimeout(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const std::optional<int64_t> number = ParseDigits(text.substr(0, text.size() - 1));
  if (!number) return std::nullopt;
  switch (text.back()) {
    case 'H':
      return *number * 3'600'000'000;
    case 'M':
      return *number * 60'000'000;
    case 'S':
      return *number * 1'000'000;
    case 'm':
      return *number * 1000;
    case 'u':
      return *number;
    case 'n':
      return (*number + 999) / 1000;
    default:
      return std::nullopt;
  }
}

uint32_t ParseGrpcStatus(std::string_view text) {
  const std::optional<int64_t> number = ParseDigits(text);
  return number && *number <= kLastStatus ? static_cast<uint32_t>(*number) : kGrpcUnknown;
}

}  // namespace weft::core::http2
