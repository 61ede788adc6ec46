// What a head's fields say about the connection and about where the message ends: RFC 9112, sections 6 and 9. Whatever
// two parties could read in two ways is refused.
#pragma once

#include "head.h"

namespace weft::core::http1 {

// What was asked, as far as it decides how a response ends.
struct Exchange {
  bool head = false;
  bool connect = false;
  bool upgrade = false;
};

// Of a complete head. A response's body is left open: ApplyExchange().
Error InterpretFields(Head& head);
Error ApplyExchange(Head& head, Exchange exchange);
// Fields that would change a message after it has been read (RFC 9110, 6.5.1).
Error CheckTrailers(const Head& trailers);

// Removed from every message that is forwarded; what is to be said about the connection is written anew.
bool IsOfConnection(FieldId id);
// The element of Connection that the caller acts upon, or that names no field to be removed.
bool IsConnectionOption(std::string_view element);

}  // namespace weft::core::http1
