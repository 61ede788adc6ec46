#include "target.h"

namespace weft::core::http1 {
namespace {

constexpr size_t kMaxHost = 255 + 2;  // a DNS name, or an address in brackets with a zone
constexpr unsigned kMaxPort = 65535;

bool IsPort(std::string_view port) {
  if (port.empty()) return true;  // "host:" is a valid authority
  if (port.size() > 5 || !IsAll(kDigitCharacter, port)) return false;
  unsigned number = 0;
  for (const char digit : port) number = number * 10 + static_cast<unsigned>(digit - '0');
  return number <= kMaxPort;
}

bool IsHost(std::string_view host) {
  if (host.empty() || host.size() > kMaxHost || !IsAll(kHostCharacter, host)) return false;
  if (host.front() == '[') {
    return host.back() == ']' && host.size() > 2 &&
           host.substr(1, host.size() - 2).find_first_of("[]") == std::string_view::npos;
  }
  return host.find_first_of("[]:") == std::string_view::npos;
}

// The size of "http://" or "https://"; 0: neither.
size_t SchemeSize(std::string_view target) {
  for (const std::string_view scheme : {std::string_view("http://"), std::string_view("https://")}) {
    if (EqualsIgnoringCase(target.substr(0, scheme.size()), scheme)) return scheme.size();
  }
  return 0;
}

}  // namespace

bool IsAuthority(std::string_view text) {
  const size_t bracket = text.find(']');
  const size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return IsHost(text);
  return IsHost(text.substr(0, colon)) && IsPort(text.substr(colon + 1));
}

bool IsTarget(TargetForm form, std::string_view text) {
  return form == TargetForm::kOrigin && text.starts_with('/') && IsAll(kTargetCharacter, text);
}

Error ReadTarget(Head& head) {
  const std::string_view target = head.target();
  const uint32_t at = head.target_place.at;
  if (head.connect) {
    head.target_form = TargetForm::kAuthority;
    head.authority_place = head.target_place;
    head.path_at = head.target_place.size;
    const size_t colon = target.rfind(':');
    const bool has_port = colon != std::string_view::npos && colon + 1 != target.size();
    return has_port && IsAuthority(target) ? Error::kNone : Error::kAuthorityInvalid;
  }
  if (target.front() == '/') {
    head.target_form = TargetForm::kOrigin;
    return Error::kNone;
  }
  if (target == "*") {
    head.target_form = TargetForm::kAsterisk;
    return head.method() == "OPTIONS" ? Error::kNone : Error::kTargetFormInvalid;
  }
  const size_t scheme = SchemeSize(target);
  if (scheme == 0) return Error::kTargetFormInvalid;
  const std::string_view rest = target.substr(scheme);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  head.target_form = TargetForm::kAbsolute;
  head.authority_place = {at + static_cast<uint32_t>(scheme), static_cast<uint32_t>(authority.size())};
  head.path_at = static_cast<uint32_t>(scheme + authority.size());
  return IsAuthority(authority) ? Error::kNone : Error::kAuthorityInvalid;
}

}  // namespace weft::core::http1
