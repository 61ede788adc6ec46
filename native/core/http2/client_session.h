// The client's side of a connection: requests out, responses in.
#pragma once

#include "session.h"

namespace weft::core::http2 {

class ClientSession final : public Session {
 public:
  ClientSession(const Limits& limits, SessionEvents& events) : Session(Role::kClient, limits, events) {}

  // Null: as many streams are open as may be, or the connection ends.
  Stream* Open(const Head& request);
  bool can_open() const;
  // The peer takes extended CONNECT (RFC 8441). Not known before it has_settings().
  bool takes_extended_connect() const;
};

}  // namespace weft::core::http2
