#include "context.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <algorithm>

#include "handshake.h"

namespace weft::core::tls {
namespace {

// The hybrid is not in every library.
constexpr const char* kGroups[] = {"X25519MLKEM768:X25519:P-256", "X25519:P-256"};
// The first is the cheapest, and as strong as the certificates.
constexpr const char* kCiphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

bool SetGroups(SSL_CTX* context) {
  for (const char* groups : kGroups) {
    if (SSL_CTX_set1_groups_list(context, groups) == 1) return true;
  }
  return false;
}

}  // namespace

std::shared_ptr<const Context> Context::Make(const Identity& identity, const ContextOptions& options,
                                             ContextError& error) {
  const std::shared_ptr<Context> context(new Context(options));
  error = context->Load(identity);
  ERR_clear_error();
  return error == ContextError::kNone ? context : nullptr;
}

ContextError Context::Load(const Identity& identity) {
  const std::vector<Certificate> chain = ReadCertificates(identity.certificates);
  if (chain.empty()) return ContextError::kBadCertificates;
  const std::optional<std::string> name = IdentityOf(chain.front().get());
  if (!name) return ContextError::kBadName;
  const Key key = ReadPrivateKey(identity.key);
  if (!key) return ContextError::kBadKey;
  if (X509_check_private_key(chain.front().get(), key.get()) != 1) return ContextError::kKeyMismatch;
  const std::vector<Certificate> anchors = ReadCertificates(identity.anchors);
  if (anchors.empty()) return ContextError::kBadAnchors;

  name_ = *name;
  not_after_ = kForever;
  for (const Certificate& certificate : chain) not_after_ = std::min(not_after_, NotAfter(certificate.get()));
  anchors_ = DigestOf(anchors);
  server_.reset(SSL_CTX_new(TLS_server_method()));
  client_.reset(SSL_CTX_new(TLS_client_method()));
  if (!server_ || !client_ || !Configure(server_.get(), chain, key.get(), anchors) ||
      !Configure(client_.get(), chain, key.get(), anchors) || !ConfigureServer()) {
    return ContextError::kLibrary;
  }
  ConfigureClient();
  return ContextError::kNone;
}

bool Context::Configure(SSL_CTX* context, const std::vector<Certificate>& chain, EVP_PKEY* key,
                        const std::vector<Certificate>& anchors) {
  SSL_CTX_set_app_data(context, this);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  // Nothing between two nodes needs to believe that this is TLS 1.2.
  SSL_CTX_clear_options(context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
  SSL_CTX_set_options(context, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
#ifdef SSL_OP_NO_TX_CERTIFICATE_COMPRESSION
  // A client would compress its certificate anew for each handshake: 1.4 ms of brotli to save a few hundred bytes.
  SSL_CTX_set_options(context, SSL_OP_NO_TX_CERTIFICATE_COMPRESSION | SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
  SSL_CTX_set_cert_verify_callback(context, VerifyPeer, nullptr);
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  // An anchor is one whether or not it signed itself.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  for (const Certificate& anchor : anchors) {
    if (X509_STORE_add_cert(store, anchor.get()) != 1) return false;
  }
  if (SSL_CTX_use_certificate(context, chain.front().get()) != 1 || SSL_CTX_use_PrivateKey(context, key) != 1) {
    return false;
  }
  for (size_t i = 1; i < chain.size(); i++) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1) return false;
  }
  return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) == 1 &&
         SSL_CTX_set_ciphersuites(context, kCiphers) == 1 && SetGroups(context);
}

bool Context::ConfigureServer() {
  SSL_CTX* context = server_.get();
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_verify(
      context, SSL_VERIFY_PEER | (options_.require_client_certificate ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  SSL_CTX_set_client_hello_cb(context, RequireProtocols, nullptr);
  SSL_CTX_set_alpn_select_cb(context, SelectProtocol, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
  if (!options_.ticket_keys) {
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    return true;
  }
  // A session belongs to whom it was made with and to the anchors that its peer was verified by.
  std::string scope(anchors_.begin(), anchors_.end());
  const Digest id = DigestOf(scope + name_);
  return SSL_CTX_set_session_id_context(context, id.data(), id.size()) == 1 &&
         SSL_CTX_set_tlsext_ticket_key_evp_cb(context, OpenTicket) == 1 &&
         SSL_CTX_set_session_ticket_cb(context, DescribeTicket, AcceptTicket, nullptr) == 1;
}

void Context::ConfigureClient() {
  SSL_CTX* context = client_.get();
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (!options_.sessions) return;
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, KeepSession);
}

std::string Context::SessionKey(std::string_view destination) const {
  std::string key(anchors_.begin(), anchors_.end());
  key.append(name_).push_back('\0');
  return key.append(destination);
}

int Context::OpenTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                        int seals) {
  const auto* context = static_cast<const Context*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  return context->options_.ticket_keys->Prepare(name, iv, cipher, mac, seals != 0);
}

}  // namespace weft::core::tls
