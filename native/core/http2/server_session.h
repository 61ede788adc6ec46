// The server's side of a connection: requests in, responses out.
#pragma once

#include "session.h"

namespace weft::core::http2 {

class ServerSession final : public Session {
 public:
  ServerSession(const Limits& limits, SessionEvents& events) : Session(Role::kServer, limits, events) {}

  // An interim response, or, once, the final one; one that `ends` has no body. What Status() gives is no field.
  void Respond(Stream& stream, const Head& response);
};

}  // namespace weft::core::http2
