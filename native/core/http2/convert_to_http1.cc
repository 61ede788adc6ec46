#include "../http1/head_parser.h"
#include "convert.h"

namespace weft::core::http2 {
namespace {

using http1::Error;
using http1::FieldId;
using http1::Kind;

// A head that was accepted once may grow by what is written here.
constexpr http1::Limits kLimits{.max_head = 1 << 20, .max_fields = 100'000, .max_trailers = 1 << 20};

void Append(std::string& text, std::string_view name, std::string_view value) {
  text.append(name).append(": ").append(value).append("\r\n");
}

// All but those of the connection, and those of `skipped`.
template <typename Skip>
Error AppendFields(std::string& text, const Head& head, Skip skip) {
  std::string cookie;
  for (const Field& field : head.fields) {
    const std::string_view name = head.name(field), value = head.value(field);
    // A line's end in them would be one of the message.
    if (!http1::IsToken(name)) return Error::kFieldNameInvalid;
    if (!http1::IsValue(value)) return Error::kFieldValueInvalid;
    if (name == "cookie") {
      cookie.append(cookie.empty() ? "" : "; ").append(value);
    } else if (!http1::IsOfConnection(http1::IdOf(name)) && !skip(name)) {
      Append(text, name, value);
    }
  }
  if (!cookie.empty()) Append(text, "cookie", cookie);
  return Error::kNone;
}

Error Parse(Kind kind, const std::string& text, http1::Head& out) {
  out.Reset(kind);
  const http1::Parsed parsed = http1::ParseHead(out, text, kLimits);
  if (parsed.error != Error::kNone) return parsed.error;
  return parsed.progress == http1::Progress::kDone && out.next_line == text.size() ? Error::kNone : Error::kTruncated;
}

bool TakesTrailers(const Head& request) {
  const Field* const te = request.Find("te");
  return te != nullptr && http1::EqualsIgnoringCase(request.value(*te), "trailers");
}

// Servers may want to be told that there is none (RFC 9110, 8.6).
bool HasMeaningfulBody(std::string_view method) { return method == "POST" || method == "PUT" || method == "PATCH"; }

}  // namespace

Error RequestToHttp1(const Head& request, std::string_view websocket_key, std::string& text, http1::Head& out) {
  const bool upgrades = request.protocol_place.size != 0;
  const bool connects = !upgrades && request.method() == "CONNECT";
  const bool has_length = request.Find("content-length") != nullptr;
  for (const Place place :
       {request.method_place, request.path_place, request.authority_place, request.protocol_place}) {
    if (!http1::IsAll(http1::kTargetCharacter, request.at(place))) return Error::kTargetInvalid;
  }
  text.clear();
  text.append(upgrades ? "GET" : request.method()).append(" ");
  text.append(connects ? request.authority() : request.path()).append(" HTTP/1.1\r\n");
  Append(text, "host", request.authority());
  const Error error = AppendFields(text, request, [&](std::string_view name) {
    return name == "host" || (upgrades && (name == "content-length" || name == "sec-websocket-key"));
  });
  if (error != Error::kNone) return error;
  const bool trailers = TakesTrailers(request);
  if (trailers) Append(text, "te", "trailers");
  if (upgrades) Append(text, "upgrade", request.protocol());
  if (upgrades && http1::EqualsIgnoringCase(request.protocol(), "websocket")) {
    Append(text, "sec-websocket-key", websocket_key);
  }
  if (trailers || upgrades) Append(text, "connection", !trailers ? "upgrade" : upgrades ? "te, upgrade" : "te");
  if (!connects && !upgrades && !has_length) {
    if (!request.ends) Append(text, "transfer-encoding", "chunked");
    if (request.ends && HasMeaningfulBody(request.method())) Append(text, "content-length", "0");
  }
  text.append("\r\n");
  return Parse(Kind::kRequest, text, out);
}

Error ResponseToHttp1(const Head& response, http1::Exchange exchange, std::string_view websocket_accept,
                      std::string& text, http1::Head& out) {
  const bool succeeds = response.status >= 200 && response.status < 300;
  const bool switches = exchange.upgrade && succeeds;
  const bool tunnels = switches || (exchange.connect && succeeds);
  const unsigned status = switches ? 101 : response.status;
  const bool unframed = tunnels || status < 200 || status == 204;
  const bool has_length = response.Find("content-length") != nullptr;
  text.assign("HTTP/1.1 ").append(std::to_string(status)).append(" \r\n");
  Error error = AppendFields(text, response, [&](std::string_view name) {
    return (unframed && name == "content-length") || (switches && name == "sec-websocket-accept");
  });
  if (error != Error::kNone) return error;
  if (switches) {
    Append(text, "connection", "upgrade");
    Append(text, "upgrade", "websocket");
    Append(text, "sec-websocket-accept", websocket_accept);
  }
  if (!unframed && !has_length && status != 304 && !exchange.head) {
    response.ends ? Append(text, "content-length", "0") : Append(text, "transfer-encoding", "chunked");
  }
  text.append("\r\n");
  error = Parse(Kind::kResponse, text, out);
  return error == Error::kNone ? http1::ApplyExchange(out, exchange) : error;
}

Error TrailersToHttp1(const Head& trailers, std::string& text, http1::Head& out) {
  text.clear();
  const Error error = AppendFields(text, trailers, [](std::string_view) { return false; });
  if (error != Error::kNone) return error;
  text.append("\r\n");
  return Parse(Kind::kTrailers, text, out);
}

}  // namespace weft::core::http2
