// A message's head, or a trailer section, as it was received: places in one text, no copies.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "text.h"

namespace weft::core::http1 {

enum class Kind : uint8_t { kRequest, kResponse, kTrailers };

// Fields that mean something to the connection.
enum class FieldId : uint8_t {
  kOther,
  kConnection,
  kContentLength,
  kExpect,
  kHost,
  kHttp2Settings,
  kKeepAlive,
  kProxyConnection,
  kTe,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
};

FieldId IdOf(std::string_view name);

struct Place {
  uint32_t at = 0;
  uint32_t size = 0;
};

// Its line begins with its name and ends, with CRLF, at `end`.
struct Field {
  Place name;
  Place value;
  uint32_t end;
  FieldId id;
};

enum class Body : uint8_t {
  kNone,
  kLength,
  kChunked,
  kUntilClose,
  kTunnel,  // no message follows any more
};

enum class TargetForm : uint8_t { kOrigin, kAbsolute, kAuthority, kAsterisk };

class Head {
 public:
  Kind kind = Kind::kRequest;
  bool http10 = false;

  // Of a request.
  Place method_place, target_place, authority_place;
  TargetForm target_form = TargetForm::kOrigin;
  uint32_t path_at = 0;  // in the target; of kOrigin and kAbsolute
  bool connect = false;
  // Of a response. The rest of its line begins behind the status.
  uint16_t status = 0;
  Place reason_place;

  // What the fields say (framing.h).
  Body body = Body::kNone;
  uint64_t content_length = 0;    // of kLength
  bool persistent = false;        // the connection may carry another message after this one
  bool chunked = false;           // said so, also where no body follows (HEAD)
  bool upgrade = false;           // asks to speak something else, or grants it
  bool expects_continue = false;  // holds its body back until it is told (RFC 9110, 10.1.1)
  bool takes_trailers = false;
  bool names_fields = false;  // Connection names fields that are not known to belong to the connection

  std::vector<Field> fields;

  // Keeps the memory.
  void Reset(Kind of);
  void set_text(const char* text) { text_ = text; }
  // Of a complete head.
  std::string_view text() const { return {text_, next_line}; }

  std::string_view at(Place place) const { return {text_ + place.at, place.size}; }
  std::string_view method() const { return at(method_place); }
  std::string_view target() const { return at(target_place); }
  // The host with its port that the request is for: the target's, else that of Host. Empty: HTTP/1.0 without.
  std::string_view authority() const { return at(authority_place); }
  // With its query. Empty where the target has none.
  std::string_view path() const { return target().substr(path_at); }
  std::string_view reason() const { return at(reason_place); }
  std::string_view name(const Field& field) const { return at(field.name); }
  std::string_view value(const Field& field) const { return at(field.value); }
  std::string_view line(const Field& field) const {
    return {text_ + field.name.at, static_cast<size_t>(field.end - field.name.at)};
  }

  bool Has(FieldId id) const { return (present_ >> static_cast<unsigned>(id) & 1) != 0; }
  // The first of the name, in any case; null: none.
  const Field* Find(std::string_view name) const;
  const Field* Find(FieldId id) const;
  void Add(const Field& field) {
    present_ |= 1u << static_cast<unsigned>(field.id);
    fields.push_back(field);
  }

  // Where parsing stands (head_parser.h).
  uint32_t next_line = 0;
  uint32_t scanned = 0;
  bool has_start_line = false;
  bool skipped_line = false;

 private:
  const char* text_ = "";
  uint32_t present_ = 0;
};

}  // namespace weft::core::http1
