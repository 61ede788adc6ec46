#include "writer.h"

#include "framing.h"
#include "target.h"

namespace weft::core::http1 {
namespace {

bool IsFramed(FieldId id) { return IsOfConnection(id) || id == FieldId::kHost || id == FieldId::kContentLength; }

bool AreValid(std::span<const NewField> fields, bool trailers) {
  for (const NewField& field : fields) {
    if (!IsToken(field.name) || !IsValue(field.value) || Trim(field.value).size() != field.value.size()) return false;
    const FieldId id = IdOf(field.name);
    if (IsFramed(id) || (trailers && id != FieldId::kOther)) return false;
  }
  return true;
}

}  // namespace

bool AreValid(const FieldEdits& edits, bool trailers) {
  if (edits.valid && !trailers) return true;
  for (const std::string_view name : edits.remove) {
    if (IsFramed(IdOf(name))) return false;
  }
  return AreValid(edits.set, trailers) && AreValid(edits.add, trailers);
}

bool IsNamed(const Head& head, std::string_view name) {
  for (const Field& field : head.fields) {
    if (field.id != FieldId::kConnection) continue;
    const bool unnamed = ForEachElement(
        head.value(field), [name](std::string_view element) { return !EqualsIgnoringCase(element, name); });
    if (!unnamed) return true;
  }
  return false;
}

bool IsEdited(const FieldEdits& edits, std::string_view name) {
  if ((edits.sizes & SizeBit(name)) == 0) return false;
  for (const std::string_view removed : edits.remove) {
    if (EqualsIgnoringCase(removed, name)) return true;
  }
  for (const NewField& set : edits.set) {
    if (EqualsIgnoringCase(set.name, name)) return true;
  }
  return false;
}

namespace {

void Append(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

void AppendNew(std::string& out, const FieldEdits& edits) {
  for (const NewField& field : edits.set) Append(out, field.name, field.value);
  for (const NewField& field : edits.add) Append(out, field.name, field.value);
}

// `replace` is asked for each field that would be kept whether it is written in another way.
template <typename Replace>
void AppendKept(std::string& out, const Head& head, const FieldEdits& edits, Replace replace) {
  const bool edited = !edits.remove.empty() || !edits.set.empty();
  // Lines that are kept and adjacent are copied together.
  std::string_view run;
  for (const Field& field : head.fields) {
    const std::string_view name = head.name(field);
    const bool goes = field.id == FieldId::kOther || field.id == FieldId::kExpect || field.id == FieldId::kTrailer
                          ? (head.names_fields && IsNamed(head, name)) || (edited && IsEdited(edits, name))
                          : IsOfConnection(field.id);
    if (goes || (field.id != FieldId::kOther && replace(field, out, run))) {
      out.append(run);
      run = {};
      continue;
    }
    const std::string_view line = head.line(field);
    run = run.empty() ? line : std::string_view(run.data(), run.size() + line.size());
  }
  out.append(run);
}

// One field of the options that are set.
void AppendConnection(std::string& out, std::initializer_list<std::string_view> options) {
  bool first = true;
  for (const std::string_view option : options) {
    if (option.empty()) continue;
    out.append(first ? "Connection: " : ", ").append(option);
    first = false;
  }
  if (!first) out.append("\r\n");
}

void AppendUpgrade(std::string& out, const Head& head) {
  for (const Field& field : head.fields) {
    if (field.id == FieldId::kUpgrade) out.append(head.line(field));
  }
}

void AppendTarget(std::string& out, const Head& request, const RequestEdits& edits, std::string_view authority) {
  const std::string_view path = edits.path.empty() ? request.path() : edits.path;
  if (request.target_form == TargetForm::kAsterisk || request.target_form == TargetForm::kAuthority) {
    out.append(request.target());
    return;
  }
  if (request.target_form == TargetForm::kAbsolute && !edits.origin_form) {
    const std::string_view target = request.target();
    out.append(target.substr(0, target.find("//") + 2)).append(authority).append(path);
    return;
  }
  if (path.empty() && request.method() == "OPTIONS") {
    out.push_back('*');  // RFC 9112, 3.2.4
    return;
  }
  if (!path.starts_with('/')) out.push_back('/');
  out.append(path);
}

bool IsForwardable(const Head& request, const RequestEdits& edits) {
  const bool has_path = request.target_form == TargetForm::kOrigin || request.target_form == TargetForm::kAbsolute;
  if (!edits.path.empty() && (!has_path || !IsTarget(TargetForm::kOrigin, edits.path))) return false;
  if (edits.authority.empty() && request.authority().empty()) return false;
  if (!edits.authority.empty() && (request.connect || !IsAuthority(edits.authority))) return false;
  return AreValid(edits.fields);
}

}  // namespace

Written WriteRequest(const Head& request, const RequestEdits& edits, std::string& out) {
  if (!IsForwardable(request, edits)) return {.error = Error::kEditInvalid};
  const std::string_view authority = edits.authority.empty() ? request.authority() : edits.authority;
  out.append(request.method()).push_back(' ');
  AppendTarget(out, request, edits, authority);
  out.append(" HTTP/1.1\r\n");
  if (!request.Has(FieldId::kHost)) Append(out, "Host", authority);
  const bool replaces_host = !edits.authority.empty() || request.target_form == TargetForm::kAbsolute ||
                             request.target_form == TargetForm::kAuthority;
  AppendKept(out, request, edits.fields, [&](const Field& field, std::string& to, std::string_view& run) {
    // HTTP/1.0 knows no interim responses, and its Expect has no meaning (RFC 9110, 10.1.1).
    if (field.id == FieldId::kExpect) return request.http10;
    if (field.id != FieldId::kHost || !replaces_host || request.value(field) == authority) return false;
    to.append(run);
    run = {};
    Append(to, request.name(field), authority);
    return true;
  });
  const bool upgrades = request.upgrade && edits.allow_upgrade;
  if (upgrades) AppendUpgrade(out, request);
  if (request.takes_trailers) out.append("TE: trailers\r\n");
  AppendConnection(out, {upgrades ? "Upgrade" : "", request.takes_trailers ? "TE" : ""});
  if (request.chunked) out.append("Transfer-Encoding: chunked\r\n");
  AppendNew(out, edits.fields);
  out.append("\r\n");
  return {.body = request.body};
}

Written WriteResponse(const Head& response, const ResponseEdits& edits, std::string& out) {
  if (!AreValid(edits.fields)) return {.error = Error::kEditInvalid};
  const bool interim = response.status < 200;
  const bool switches = response.status == 101;
  const bool tunnels = response.body == Body::kTunnel && !switches;
  // Where nobody may say how long a body is (RFC 9110, 8.6; RFC 9112, 6.1).
  const bool unframed = interim || response.status == 204 || tunnels;
  Written written{.body = response.body, .close = edits.close && !interim && !tunnels};
  if (response.body == Body::kChunked || response.body == Body::kUntilClose) {
    written.body = edits.to_http10 ? Body::kUntilClose : Body::kChunked;
  }
  written.close = written.close || written.body == Body::kUntilClose;
  const bool says_upgrade = switches || response.status == 426;
  const bool chunked = !edits.to_http10 && !unframed && (written.body == Body::kChunked || response.chunked);

  out.append("HTTP/1.1 ");
  out.push_back(static_cast<char>('0' + response.status / 100));
  out.push_back(static_cast<char>('0' + response.status / 10 % 10));
  out.push_back(static_cast<char>('0' + response.status % 10));
  if (response.reason().empty()) out.push_back(' ');
  out.append(response.reason()).append("\r\n");
  AppendKept(out, response, edits.fields, [&](const Field& field, std::string&, std::string_view&) {
    return unframed && field.id == FieldId::kContentLength;
  });
  const bool upgrades = says_upgrade && response.Has(FieldId::kUpgrade);
  if (upgrades) AppendUpgrade(out, response);
  const bool keeps_alive = edits.to_http10 && !written.close && !tunnels && !interim;
  AppendConnection(out, {written.close ? "close" : "", keeps_alive ? "keep-alive" : "", upgrades ? "Upgrade" : ""});
  if (chunked) out.append("Transfer-Encoding: chunked\r\n");
  AppendNew(out, edits.fields);
  out.append("\r\n");
  return written;
}

ChunkHead::ChunkHead(uint64_t size) : begin_(sizeof bytes_) {
  bytes_[--begin_] = '\n';
  bytes_[--begin_] = '\r';
  do {
    bytes_[--begin_] = "0123456789abcdef"[size & 15];
    size >>= 4;
  } while (size != 0);
}

Error WriteLastChunk(const Head* trailers, const FieldEdits& edits, std::string& out) {
  if (!AreValid(edits, true)) return Error::kEditInvalid;
  out.append("0\r\n");
  if (trailers != nullptr) AppendKept(out, *trailers, edits, [](auto&&...) { return false; });
  AppendNew(out, edits);
  out.append("\r\n");
  return Error::kNone;
}

}  // namespace weft::core::http1
