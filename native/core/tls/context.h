// What all connections of one identity share: certificate, key, anchors, rules. It never changes: a renewed certificate
// or another set of anchors is a new context, and connections that are open keep theirs.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "certificates.h"
#include "client_sessions.h"
#include "handles.h"
#include "ticket_keys.h"

namespace weft::core::tls {

// PEM, or DER one after the other.
struct Identity {
  std::string certificates;  // the leaf, then intermediates
  std::string key;
  std::string anchors;
};

struct ContextOptions {
  // A server asks for a certificate in any case; one that does not verify is refused in any case.
  bool require_client_certificate = true;
  // None: this server, or client, resumes nothing.
  std::shared_ptr<const TicketKeys> ticket_keys;
  std::shared_ptr<ClientSessions> sessions;
};

enum class ContextError : uint8_t {
  kNone,
  kBadCertificates,
  kBadName,  // the leaf has no DNS name, or several
  kBadKey,
  kKeyMismatch,
  kBadAnchors,
  kLibrary,  // OpenSSL refuses, e.g. a key too short for its security level
};

class Context {
 public:
  // Null if there is an error.
  static std::shared_ptr<const Context> Make(const Identity& identity, const ContextOptions& options,
                                             ContextError& error);
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const std::string& name() const { return name_; }
  int64_t not_after() const { return not_after_; }
  SSL_CTX* server() const { return server_.get(); }
  SSL_CTX* client() const { return client_.get(); }

  ClientSessions* sessions() const { return options_.sessions.get(); }
  std::string SessionKey(std::string_view destination) const;

 private:
  explicit Context(const ContextOptions& options) : options_(options) {}
  ContextError Load(const Identity& identity);
  bool Configure(SSL_CTX* context, const std::vector<Certificate>& chain, EVP_PKEY* key,
                 const std::vector<Certificate>& anchors);
  bool ConfigureServer();
  void ConfigureClient();

  static int OpenTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher, EVP_MAC_CTX* mac,
                        int seals);

  const ContextOptions options_;
  std::string name_;
  int64_t not_after_ = 0;
  Digest anchors_{};
  SslContext server_;
  SslContext client_;
};

}  // namespace weft::core::tls
