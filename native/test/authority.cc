#include "authority.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "check.h"

namespace weft::test {
namespace {

using core::tls::Certificate;
using core::tls::Key;

template <typename Write>
std::string Pem(Write write) {
  BIO* memory = BIO_new(BIO_s_mem());
  CHECK(write(memory) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(memory);
  return text;
}

std::string Pem(X509* certificate) {
  return Pem([&](BIO* memory) { return PEM_write_bio_X509(memory, certificate); });
}

std::string Pem(EVP_PKEY* key) {
  return Pem([&](BIO* memory) { return PEM_write_bio_PrivateKey(memory, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

void Extend(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
  CHECK(extension != nullptr);
  CHECK(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

Certificate Make(const std::string& subject, EVP_PKEY* key, X509* issuer, EVP_PKEY* issuer_key,
                 const LeafOptions* leaf) {
  Certificate made(X509_new());
  X509* certificate = made.get();
  if (issuer == nullptr) issuer = certificate;
  X509_set_version(certificate, 2);
  int64_t serial = 0;
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial) == 1);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(certificate), static_cast<uint64_t>(serial) >> 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), leaf != nullptr ? leaf->not_before : -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), leaf != nullptr ? leaf->not_after : 7200);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(subject.c_str()), -1, -1, 0);
  X509_set_pubkey(certificate, key);
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  Extend(certificate, issuer, NID_subject_key_identifier, "hash");
  Extend(certificate, issuer, NID_authority_key_identifier, "keyid:always");
  if (leaf == nullptr) {
    Extend(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE");
    Extend(certificate, issuer, NID_key_usage, "critical,keyCertSign,cRLSign");
  } else {
    Extend(certificate, issuer, NID_basic_constraints, "critical,CA:FALSE");
    Extend(certificate, issuer, NID_key_usage, "critical,digitalSignature");
    Extend(certificate, issuer, NID_ext_key_usage, leaf->usage);
    std::string names = "URI:spiffe://cluster.local/x";
    for (const std::string& name : leaf->names) names += ",DNS:" + name;
    Extend(certificate, issuer, NID_subject_alt_name, names);
  }
  CHECK(X509_sign(certificate, issuer_key, EVP_sha256()) > 0);
  return made;
}

}  // namespace

Authority::Authority(const std::string& name) : key_(EVP_EC_gen("P-256")) {
  certificate_ = Make(name, key_.get(), nullptr, key_.get(), nullptr);
}

std::string Authority::certificate() const { return Pem(certificate_.get()); }

core::tls::Identity Authority::Issue(const LeafOptions& options) const {
  const Key key(EVP_EC_gen("P-256"));
  const Certificate leaf = Make("leaf", key.get(), certificate_.get(), key_.get(), &options);
  return {Pem(leaf.get()), Pem(key.get()), certificate()};
}

core::tls::Identity Authority::IssueByIntermediate(const std::string& name) const {
  Authority issuer;
  issuer.key_.reset(EVP_EC_gen("P-256"));
  issuer.certificate_ = Make("issuer", issuer.key_.get(), certificate_.get(), key_.get(), nullptr);
  core::tls::Identity identity = issuer.Issue(name);
  identity.certificates += issuer.certificate();
  identity.anchors = certificate();
  return identity;
}

}  // namespace weft::test
