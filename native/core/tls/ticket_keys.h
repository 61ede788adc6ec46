// The keys that session tickets are sealed with (RFC 5077, section 4). They come from outside, so that all workers of a
// node have the same ones and any of them resumes what another began.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "handles.h"

namespace weft::core::tls {

struct TicketKey {
  std::array<uint8_t, 16> name{};
  std::array<uint8_t, 32> encryption{};
  std::array<uint8_t, 32> authentication{};
};

class TicketKeys {
 public:
  explicit TicketKeys(std::vector<TicketKey> keys) { Replace(std::move(keys)); }
  TicketKeys(const TicketKeys&) = delete;
  TicketKeys& operator=(const TicketKeys&) = delete;
  ~TicketKeys();

  // The first seals, all open. With none no session is resumed.
  void Replace(std::vector<TicketKey> keys);
  bool empty() const { return keys_.empty(); }

  // SSL_CTX_set_tlsext_ticket_key_evp_cb(3).
  int Prepare(uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, bool seals) const;

 private:
  std::vector<TicketKey> keys_;
};

}  // namespace weft::core::tls
