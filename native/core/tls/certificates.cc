#include "certificates.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <ctime>

namespace weft::core::tls {
namespace {

using Source = std::unique_ptr<BIO, Freed<BIO_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;

constexpr std::string_view kPemMark = "-----BEGIN ";

Source Open(std::string_view text) { return Source(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))); }

bool IsPem(std::string_view text) { return text.find(kPemMark) != std::string_view::npos; }

int NoPassphrase(char*, int, int, void*) { return 0; }

}  // namespace

std::vector<Certificate> ReadCertificates(std::string_view text) {
  std::vector<Certificate> certificates;
  const Source source = Open(text);
  const bool pem = IsPem(text);
  bool sound = true;
  ERR_clear_error();
  while (source && (pem || BIO_pending(source.get()) > 0)) {
    Certificate certificate(pem ? PEM_read_bio_X509(source.get(), nullptr, NoPassphrase, nullptr)
                                : d2i_X509_bio(source.get(), nullptr));
    if (!certificate) {
      sound = pem && ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;  // how the end shows itself
      break;
    }
    certificates.push_back(std::move(certificate));
  }
  ERR_clear_error();
  if (!sound) certificates.clear();
  return certificates;
}

Key ReadPrivateKey(std::string_view text) {
  const Source source = Open(text);
  if (!source) return nullptr;
  Key key(IsPem(text) ? PEM_read_bio_PrivateKey(source.get(), nullptr, NoPassphrase, nullptr)
                      : d2i_PrivateKey_bio(source.get(), nullptr));
  ERR_clear_error();
  return key;
}

std::optional<std::string> IdentityOf(const X509* certificate) {
  const Names names(static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::optional<std::string> identity;
  for (int i = 0; names && i < sk_GENERAL_NAME_num(names.get()); i++) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_DNS) continue;
    if (identity) return std::nullopt;
    identity.emplace(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                     static_cast<size_t>(ASN1_STRING_length(name->d.dNSName)));
  }
  if (identity && (identity->empty() || identity->find('\0') != std::string::npos)) return std::nullopt;
  return identity;
}

int64_t NotAfter(const X509* certificate) {
  std::tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return 0;
  return timegm(&time);
}

Digest DigestOf(std::string_view text) {
  Digest digest;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  return digest;
}

Digest DigestOf(const std::vector<Certificate>& certificates) {
  std::vector<Digest> digests;
  for (const Certificate& certificate : certificates) {
    unsigned size = 0;
    X509_digest(certificate.get(), EVP_sha256(), digests.emplace_back().data(), &size);
  }
  std::sort(digests.begin(), digests.end());
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  return DigestOf(std::string_view(reinterpret_cast<const char*>(digests.data()), digests.size() * sizeof(Digest)));
}

}  // namespace weft::core::tls
