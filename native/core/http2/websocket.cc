#include "websocket.h"

#include <openssl/evp.h>

namespace weft::core::http2 {
namespace {

constexpr std::string_view kProtocolId = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

std::string Base64(const unsigned char* bytes, size_t size) {
  std::string text((size + 2) / 3 * 4 + 1, '\0');
  text.resize(static_cast<size_t>(
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(size))));
  return text;
}

}  // namespace

std::string WebSocketKey(std::span<const unsigned char, 16> random) { return Base64(random.data(), random.size()); }

std::string WebSocketAccept(std::string_view key) {
  const std::string text = std::string(key).append(kProtocolId);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr);
  return Base64(digest, size);
}

}  // namespace weft::core::http2
