// Heads between HTTP/2 and HTTP/1.1 (RFC 9113, 8.2 and 8.3; RFC 8441), and from one HTTP/2 connection to the next.
//
// What comes out in HTTP/1.1's form was read by its parser: whatever that refuses is refused here. What goes out is
// edited on the way, by the same edits and with the same rules in either form (http1/writer.h). Fields of the
// connection go: Connection and what it names, Keep-Alive, Proxy-Connection, Transfer-Encoding, Upgrade,
// HTTP2-Settings, and TE but for "trailers".
#pragma once

#include <string>

#include "../http1/framing.h"
#include "../http1/writer.h"
#include "head.h"

namespace weft::core::http2 {

// The text is the head's, which has places in it. Cookie crumbs are joined. A body without a length is chunked. An
// extended CONNECT is an Upgrade with the key (websocket.h); its answer is 101 with what the client's key asks for.
http1::Error RequestToHttp1(const Head& request, std::string_view websocket_key, std::string& text, http1::Head& out);
http1::Error ResponseToHttp1(const Head& response, http1::Exchange exchange, std::string_view websocket_accept,
                             std::string& text, http1::Head& out);
http1::Error TrailersToHttp1(const Head& trailers, std::string& text, http1::Head& out);

struct ToHttp2 {
  std::string_view scheme = "http";
  // The peer takes extended CONNECT. Otherwise what asks for an upgrade is an ordinary request.
  bool extended_connect = false;
};

// A request for a WebSocket has a protocol() when it was converted; what else asks for an upgrade loses that.
http1::Error RequestFromHttp1(const http1::Head& request, const http1::RequestEdits& edits, const ToHttp2& to,
                              Head& out);
// The exchange is that of the HTTP/1.1 side; 101 is 200 to one who asked with extended CONNECT.
http1::Error ResponseFromHttp1(const http1::Head& response, const http1::FieldEdits& edits, http1::Exchange exchange,
                               Head& out);
http1::Error TrailersFromHttp1(const http1::Head& trailers, const http1::FieldEdits& edits, Head& out);

http1::Error ForwardRequest(const Head& request, const http1::RequestEdits& edits, Head& out);
http1::Error ForwardResponse(const Head& response, const http1::FieldEdits& edits, Head& out);
http1::Error ForwardTrailers(const Head& trailers, const http1::FieldEdits& edits, Head& out);

}  // namespace weft::core::http2
