// What HTTP/1.1 wants for a WebSocket's handshake and HTTP/2 does without (RFC 6455, 4.1; RFC 8441, 5.1).
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weft::core::http2 {

// The random bytes are 16 of the caller's.
std::string WebSocketKey(std::span<const unsigned char, 16> random);
// What a server answers a client's key with.
std::string WebSocketAccept(std::string_view key);

}  // namespace weft::core::http2
