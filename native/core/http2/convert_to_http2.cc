#include "../http1/target.h"
#include "convert.h"

namespace weft::core::http2 {
namespace {

using http1::Error;
using http1::FieldEdits;
using http1::FieldId;

void AddNew(Head& out, const FieldEdits& edits) {
  for (const http1::NewField& field : edits.set) out.Add(field.name, field.value);
  for (const http1::NewField& field : edits.add) out.Add(field.name, field.value);
}

// Those that are kept. Host is in the authority.
template <typename Skip>
void AddFields(Head& out, const http1::Head& head, const FieldEdits& edits, Skip skip) {
  for (const http1::Field& field : head.fields) {
    const std::string_view name = head.name(field);
    if (field.id == FieldId::kHost || http1::IsOfConnection(field.id) || skip(name)) continue;
    const bool framing = field.id == FieldId::kContentLength;
    if (!framing && ((head.names_fields && http1::IsNamed(head, name)) || http1::IsEdited(edits, name))) continue;
    out.Add(name, head.value(field));
  }
}

template <typename Skip>
void AddFields(Head& out, const Head& head, const FieldEdits& edits, Skip skip) {
  for (const Field& field : head.fields) {
    const std::string_view name = head.name(field);
    if (http1::IsEdited(edits, name) || skip(name)) continue;
    out.Add(name, head.value(field), field.sensitive);
  }
}

bool SetTarget(Head& out, std::string_view path, std::string_view authority, const http1::RequestEdits& edits,
               bool has_path) {
  if (!edits.path.empty() && (!has_path || !http1::IsTarget(http1::TargetForm::kOrigin, edits.path))) return false;
  if (!edits.authority.empty() && !http1::IsAuthority(edits.authority)) return false;
  if (edits.authority.empty() && authority.empty()) return false;
  out.authority_place = out.Append(edits.authority.empty() ? authority : edits.authority);
  if (has_path) out.path_place = out.Append(edits.path.empty() ? path : edits.path);
  return http1::AreValid(edits.fields);
}

bool AsksForWebSocket(const http1::Head& request) {
  if (!request.upgrade || request.method() != "GET") return false;
  for (const http1::Field& field : request.fields) {
    if (field.id != FieldId::kUpgrade) continue;
    if (!http1::EqualsIgnoringCase(request.value(field), "websocket")) return false;
  }
  return true;
}

std::string PathOf(const http1::Head& request) {
  if (request.target_form == http1::TargetForm::kAsterisk) return "*";
  const std::string_view path = request.path();
  if (path.empty()) return request.method() == "OPTIONS" ? "*" : "/";
  return path.starts_with('/') ? std::string(path) : std::string("/").append(path);
}

bool IsOfWebSocketKey(std::string_view name) {
  return http1::EqualsIgnoringCase(name, "sec-websocket-key") ||
         http1::EqualsIgnoringCase(name, "sec-websocket-accept");
}

}  // namespace

Error RequestFromHttp1(const http1::Head& request, const http1::RequestEdits& edits, const ToHttp2& to, Head& out) {
  out.Reset();
  const bool websocket = to.extended_connect && edits.allow_upgrade && AsksForWebSocket(request);
  if (request.connect && !edits.authority.empty()) return Error::kEditInvalid;
  if (!SetTarget(out, PathOf(request), request.authority(), edits, !request.connect)) return Error::kEditInvalid;
  out.method_place = out.Append(websocket ? "CONNECT" : request.method());
  if (!request.connect) out.scheme_place = out.Append(to.scheme);
  if (websocket) out.protocol_place = out.Append("websocket");
  AddFields(out, request, edits.fields, [&](std::string_view name) {
    // HTTP/1.0 knows no interim responses.
    if (request.http10 && http1::EqualsIgnoringCase(name, "expect")) return true;
    return websocket && (IsOfWebSocketKey(name) || http1::EqualsIgnoringCase(name, "content-length"));
  });
  if (request.takes_trailers) out.Add("te", "trailers");
  AddNew(out, edits.fields);
  out.ends = request.body == http1::Body::kNone && !request.connect && !websocket;
  return Error::kNone;
}

Error ResponseFromHttp1(const http1::Head& response, const FieldEdits& edits, http1::Exchange exchange, Head& out) {
  out.Reset();
  if (!http1::AreValid(edits)) return Error::kEditInvalid;
  const bool switches = response.status == 101;
  if (switches && !exchange.upgrade) return Error::kUnexpectedSwitch;
  // A client of HTTP/2 would take it for a tunnel (RFC 8441, 5).
  if (exchange.upgrade && response.status >= 200 && response.status < 300) return Error::kUpgradeIgnored;
  const bool tunnels = response.body == http1::Body::kTunnel;
  const bool interim = response.status < 200 && !switches;
  const bool unframed = interim || tunnels || response.status == 204;
  out.status = switches ? 200 : response.status;
  AddFields(out, response, edits, [&](std::string_view name) {
    return (unframed && http1::EqualsIgnoringCase(name, "content-length")) || (switches && IsOfWebSocketKey(name));
  });
  AddNew(out, edits);
  out.ends = !interim && response.body == http1::Body::kNone;
  return Error::kNone;
}

Error TrailersFromHttp1(const http1::Head& trailers, const FieldEdits& edits, Head& out) {
  out.Reset();
  if (!http1::AreValid(edits, true)) return Error::kEditInvalid;
  AddFields(out, trailers, edits, [](std::string_view) { return false; });
  AddNew(out, edits);
  out.ends = true;
  return Error::kNone;
}

Error ForwardRequest(const Head& request, const http1::RequestEdits& edits, Head& out) {
  out.Reset();
  const bool connects = request.path_place.size == 0;
  if (connects && !edits.authority.empty()) return Error::kEditInvalid;
  if (!SetTarget(out, request.path(), request.authority(), edits, !connects)) return Error::kEditInvalid;
  out.method_place = out.Append(request.method());
  if (!connects) out.scheme_place = out.Append(request.scheme());
  if (request.protocol_place.size != 0) out.protocol_place = out.Append(request.protocol());
  AddFields(out, request, edits.fields, [](std::string_view name) { return name == "http2-settings"; });
  AddNew(out, edits.fields);
  out.ends = request.ends;
  return Error::kNone;
}

Error ForwardResponse(const Head& response, const FieldEdits& edits, Head& out) {
  out.Reset();
  if (!http1::AreValid(edits)) return Error::kEditInvalid;
  out.status = response.status;
  AddFields(out, response, edits, [](std::string_view) { return false; });
  AddNew(out, edits);
  out.ends = response.ends;
  return Error::kNone;
}

Error ForwardTrailers(const Head& trailers, const FieldEdits& edits, Head& out) {
  out.Reset();
  if (!http1::AreValid(edits, true)) return Error::kEditInvalid;
  AddFields(out, trailers, edits, [](std::string_view) { return false; });
  AddNew(out, edits);
  out.ends = true;
  return Error::kNone;
}

}  // namespace weft::core::http2
