#include "server_session.h"

#include <cassert>

namespace weft::core::http2 {

void ServerSession::Respond(Stream& stream, const Head& response) {
  assert(response.status >= 100);
  SubmitHead(stream, response);
  Announce();
}

}  // namespace weft::core::http2
