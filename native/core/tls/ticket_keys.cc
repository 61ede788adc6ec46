#include "ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>

namespace weft::core::tls {
namespace {

constexpr int kError = -1;
constexpr int kUnknownKey = 0;
constexpr int kReady = 1;

void Cleanse(std::vector<TicketKey>& keys) { OPENSSL_cleanse(keys.data(), keys.size() * sizeof(TicketKey)); }

}  // namespace

TicketKeys::~TicketKeys() { Cleanse(keys_); }

void TicketKeys::Replace(std::vector<TicketKey> keys) {
  keys_.swap(keys);
  Cleanse(keys);
}

int TicketKeys::Prepare(uint8_t* name, uint8_t* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac, bool seals) const {
  const auto key = seals ? keys_.begin() : std::find_if(keys_.begin(), keys_.end(), [&](const TicketKey& candidate) {
    return std::equal(candidate.name.begin(), candidate.name.end(), name);
  });
  if (key == keys_.end()) return kUnknownKey;
  if (seals) {
    std::copy(key->name.begin(), key->name.end(), name);
    if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) return kError;
  }
  char digest[] = "SHA256";
  OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, const_cast<uint8_t*>(key->authentication.data()),
                                        key->authentication.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end(),
  };
  if (EVP_MAC_CTX_set_params(mac, params) != 1) return kError;
  if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->encryption.data(), iv, seals ? 1 : 0) != 1) {
    return kError;
  }
  return kReady;
}

}  // namespace weft::core::tls
