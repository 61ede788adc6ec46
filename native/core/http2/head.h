// A message's head, or a trailer section: places in one text. Names are in lower case, as HTTP/2 has them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "../http1/head.h"

namespace weft::core::http2 {

using http1::Place;

struct Field {
  Place name;
  Place value;
  bool sensitive = false;  // never to be put into a compression table (RFC 7541, 7.1.3)
};

class Head {
 public:
  // Of a request. Empty: not there. `protocol` makes CONNECT an extended one (RFC 8441).
  Place method_place, scheme_place, authority_place, path_place, protocol_place;
  uint16_t status = 0;  // of a response
  bool ends = false;    // nothing follows: no body, no trailers
  std::vector<Field> fields;

  std::string_view at(Place place) const { return std::string_view(text_).substr(place.at, place.size); }
  std::string_view method() const { return at(method_place); }
  std::string_view scheme() const { return at(scheme_place); }
  // The host with its port that the request is for. A received request has it from Host if it had no :authority.
  std::string_view authority() const { return at(authority_place); }
  std::string_view path() const { return at(path_place); }
  std::string_view protocol() const { return at(protocol_place); }
  std::string_view name(const Field& field) const { return at(field.name); }
  std::string_view value(const Field& field) const { return at(field.value); }
  // The first of the name, which is in lower case; null: none.
  const Field* Find(std::string_view name) const;

  // Keeps the memory.
  void Reset();
  void FreeMemory() { *this = Head(); }

  Place Append(std::string_view bytes) {
    const Place place{static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(bytes.size())};
    text_.append(bytes);
    return place;
  }
  // The name in lower case.
  void Add(std::string_view name, std::string_view value, bool sensitive = false);
  size_t text_size() const { return text_.size(); }

 private:
  std::string text_;
};

}  // namespace weft::core::http2
