#include "framing.h"

#include <limits>

#include "target.h"

namespace weft::core::http1 {
namespace {

constexpr unsigned kMaxConnectionOptions = 32;
constexpr uint64_t kMaxLength = std::numeric_limits<int64_t>::max();

Error ReadLength(std::string_view text, uint64_t& length) {
  if (text.empty() || !IsAll(kDigitCharacter, text)) return Error::kContentLengthInvalid;
  length = 0;
  for (const char character : text) {
    const auto digit = static_cast<uint64_t>(character - '0');
    if (length > (kMaxLength - digit) / 10) return Error::kContentLengthOverflow;
    length = length * 10 + digit;
  }
  return Error::kNone;
}

class Interpreter {
 public:
  explicit Interpreter(Head& head) : head_(head) {}

  Error Run() {
    for (const Field& field : head_.fields) {
      if (field.id == FieldId::kOther) continue;
      if (const Error error = Take(field.id, head_.value(field)); error != Error::kNone) return error;
    }
    if (const Error error = CheckHost(); error != Error::kNone) return error;
    if (const Error error = CheckBody(); error != Error::kNone) return error;
    head_.persistent = !close_ && (!head_.http10 || keep_alive_);
    head_.upgrade = upgrade_option_ && upgrade_field_ && !upgrade_to_http2_ && !head_.http10;
    head_.takes_trailers = takes_trailers_ && te_option_ && head_.kind == Kind::kRequest;
    return Error::kNone;
  }

 private:
  Error Take(FieldId id, std::string_view value) {
    switch (id) {
      case FieldId::kConnection:
        return TakeConnection(value);
      case FieldId::kContentLength:
        if (content_lengths_++ > 0) return Error::kContentLengthDuplicate;
        return ReadLength(value, head_.content_length);
      case FieldId::kTransferEncoding:
        return TakeTransferEncoding(value);
      case FieldId::kUpgrade:
        return TakeUpgrade(value);
      case FieldId::kExpect:
        head_.expects_continue = head_.expects_continue || (!head_.http10 && EqualsIgnoringCase(value, "100-continue"));
        return Error::kNone;
      case FieldId::kTe:
        ForEachElement(value, [this](std::string_view element) {
          takes_trailers_ = takes_trailers_ || EqualsIgnoringCase(element, "trailers");
          return !takes_trailers_;
        });
        return Error::kNone;
      default:
        return Error::kNone;
    }
  }

  Error TakeConnection(std::string_view value) {
    Error error = Error::kNone;
    ForEachElement(value, [&](std::string_view element) {
      if (++options_ > kMaxConnectionOptions) error = Error::kTooManyConnectionOptions;
      if (element.empty()) return error == Error::kNone;
      if (!IsToken(element)) error = Error::kConnectionInvalid;
      if (IsOneOf(element, {"host", "content-length"})) error = Error::kConnectionNamesFraming;
      close_ = close_ || EqualsIgnoringCase(element, "close");
      keep_alive_ = keep_alive_ || EqualsIgnoringCase(element, "keep-alive");
      upgrade_option_ = upgrade_option_ || EqualsIgnoringCase(element, "upgrade");
      te_option_ = te_option_ || EqualsIgnoringCase(element, "te");
      head_.names_fields = head_.names_fields || !IsConnectionOption(element);
      return error == Error::kNone;
    });
    return error;
  }

  static bool IsOneOf(std::string_view element, std::initializer_list<std::string_view> names) {
    for (const std::string_view name : names) {
      if (EqualsIgnoringCase(element, name)) return true;
    }
    return false;
  }

  Error TakeTransferEncoding(std::string_view value) {
    Error error = Error::kNone;
    ForEachElement(value, [&](std::string_view element) {
      const std::string_view coding = Trim(element.substr(0, element.find(';')));
      if (!IsToken(coding) || coding.size() != element.size()) error = Error::kTransferEncodingInvalid;
      codings_++;
      last_is_chunked_ = EqualsIgnoringCase(coding, "chunked");
      chunked_count_ += last_is_chunked_ ? 1 : 0;
      return error == Error::kNone;
    });
    return error;
  }

  // Another protocol's HTTP inside the tunnel would hide its requests from those who decide about requests, and no
  // server may insist on it (RFC 9113, 3.1 has given it up).
  Error TakeUpgrade(std::string_view value) {
    Error error = Error::kNone;
    upgrade_field_ = true;
    ForEachElement(value, [&](std::string_view element) {
      const std::string_view name = element.substr(0, element.find('/'));
      const bool has_version = name.size() != element.size();
      if (!IsToken(name) || (has_version && !IsToken(element.substr(name.size() + 1)))) error = Error::kUpgradeInvalid;
      if (IsOneOf(name, {"h2c", "h2", "http"})) upgrade_to_http2_ = true;
      return error == Error::kNone;
    });
    return error;
  }

  Error CheckHost() {
    if (head_.kind != Kind::kRequest) return Error::kNone;
    const Field* host = head_.Find(FieldId::kHost);
    if (host == nullptr) return head_.http10 ? Error::kNone : Error::kHostMissing;
    for (const Field& field : head_.fields) {
      if (field.id == FieldId::kHost && &field != host) return Error::kHostDuplicate;
    }
    if (!IsAuthority(head_.value(*host))) return Error::kHostInvalid;
    const bool in_target = head_.target_form == TargetForm::kAbsolute || head_.target_form == TargetForm::kAuthority;
    if (!in_target) head_.authority_place = host->value;
    return Error::kNone;
  }

  Error CheckBody() {
    const bool has_length = content_lengths_ > 0;
    if (codings_ > 0) {
      if (has_length) return Error::kContentLengthAndTransferEncoding;
      if (head_.http10) return Error::kTransferEncodingInHttp10;
      if (!last_is_chunked_) return Error::kTransferEncodingNotChunked;
      if (chunked_count_ > 1) return Error::kTransferEncodingInvalid;
      if (codings_ > 1) return Error::kTransferEncodingUnsupported;
      head_.chunked = true;
    }
    if (head_.connect && (head_.chunked || head_.content_length > 0)) return Error::kConnectWithBody;
    if (head_.chunked) {
      head_.body = Body::kChunked;
    } else if (has_length && head_.content_length > 0) {
      head_.body = Body::kLength;
    } else {
      head_.body = head_.kind == Kind::kRequest || has_length ? Body::kNone : Body::kUntilClose;
    }
    return Error::kNone;
  }

  Head& head_;
  unsigned options_ = 0, codings_ = 0, chunked_count_ = 0, content_lengths_ = 0;
  bool close_ = false, keep_alive_ = false, upgrade_option_ = false, te_option_ = false;
  bool upgrade_field_ = false, upgrade_to_http2_ = false, takes_trailers_ = false, last_is_chunked_ = false;
};

}  // namespace

Error InterpretFields(Head& head) { return Interpreter(head).Run(); }

Error ApplyExchange(Head& head, Exchange exchange) {
  if (head.status == 101) {
    if (!exchange.upgrade || !head.upgrade) return Error::kUnexpectedSwitch;
    head.body = Body::kTunnel;
    head.persistent = false;
    return Error::kNone;
  }
  head.upgrade = false;
  if (exchange.connect && head.status >= 200 && head.status < 300) {
    head.body = Body::kTunnel;
    head.persistent = false;
    return Error::kNone;
  }
  const bool has_body = head.chunked || head.content_length > 0;
  if (head.status < 200 && has_body) return Error::kInterimWithBody;
  const bool never = head.status < 200 || head.status == 204;
  // Such a server may send the body it announced.
  if (never && has_body) head.persistent = false;
  if (never || head.status == 304 || exchange.head) head.body = Body::kNone;
  if (head.body == Body::kUntilClose) head.persistent = false;
  return Error::kNone;
}

Error CheckTrailers(const Head& trailers) {
  for (const Field& field : trailers.fields) {
    if (field.id != FieldId::kOther) return Error::kTrailerForbidden;
  }
  return Error::kNone;
}

bool IsOfConnection(FieldId id) {
  switch (id) {
    case FieldId::kConnection:
    case FieldId::kHttp2Settings:
    case FieldId::kKeepAlive:
    case FieldId::kProxyConnection:
    case FieldId::kTe:
    case FieldId::kTransferEncoding:
    case FieldId::kUpgrade:
      return true;
    default:
      return false;
  }
}

bool IsConnectionOption(std::string_view element) {
  return EqualsIgnoringCase(element, "close") || IsOfConnection(IdOf(element));
}

}  // namespace weft::core::http1
