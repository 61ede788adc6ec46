#include "head_check.h"

#include <algorithm>

#include "../http1/target.h"

namespace weft::core::http2 {
namespace {

using http1::Error;
using http1::FieldId;

constexpr size_t kMaxMethod = 64;

// Two names for one host could be two hosts to two parties (RFC 9113, 8.3.1).
Error TakeHost(Head& head) {
  for (const Field& field : head.fields) {
    if (head.name(field) != "host") continue;
    if (head.authority_place.size == 0) head.authority_place = field.value;
    if (!http1::EqualsIgnoringCase(head.authority(), head.value(field))) return Error::kHostInvalid;
  }
  std::erase_if(head.fields, [&](const Field& field) { return head.name(field) == "host"; });
  return Error::kNone;
}

bool HasPort(std::string_view authority) {
  const size_t colon = authority.rfind(':');
  return colon != std::string_view::npos && colon + 1 != authority.size() &&
         authority.find(']', colon) == std::string_view::npos;
}

}  // namespace

Error CheckRequest(Head& head) {
  const std::string_view method = head.method();
  if (!http1::IsToken(method)) return Error::kMethodInvalid;
  if (method.size() > kMaxMethod) return Error::kMethodTooLong;
  if (const Error error = TakeHost(head); error != Error::kNone) return error;
  if (head.authority().empty()) return Error::kHostMissing;
  if (!http1::IsAuthority(head.authority())) return Error::kAuthorityInvalid;
  if (method == "CONNECT" && head.protocol_place.size == 0) {
    return HasPort(head.authority()) ? Error::kNone : Error::kAuthorityInvalid;
  }
  if (head.protocol_place.size != 0 && !http1::IsToken(head.protocol())) return Error::kUpgradeInvalid;
  if (!http1::EqualsIgnoringCase(head.scheme(), "http") && !http1::EqualsIgnoringCase(head.scheme(), "https")) {
    return Error::kTargetFormInvalid;
  }
  if (head.path() == "*") return method == "OPTIONS" ? Error::kNone : Error::kTargetFormInvalid;
  return http1::IsTarget(http1::TargetForm::kOrigin, head.path()) ? Error::kNone : Error::kTargetInvalid;
}

Error CheckTrailers(const Head& trailers) {
  for (const Field& field : trailers.fields) {
    if (http1::IdOf(trailers.name(field)) != FieldId::kOther) return Error::kTrailerForbidden;
  }
  return Error::kNone;
}

}  // namespace weft::core::http2
