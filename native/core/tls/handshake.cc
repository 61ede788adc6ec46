#include "handshake.h"

#include <openssl/tls1.h>
#include <openssl/x509_vfy.h>

#include <algorithm>
#include <cstring>
#include <ctime>

#include "certificates.h"
#include "client_sessions.h"

namespace weft::core::tls {
namespace {

constexpr int64_t kMaxTicketLife = 24 * 3600;
constexpr size_t kTickets = 1;

int64_t ChainNotAfter(const STACK_OF(X509) * chain) {
  int64_t not_after = kForever;
  for (int i = 0; i < sk_X509_num(chain); i++) not_after = std::min(not_after, NotAfter(sk_X509_value(chain, i)));
  return not_after;
}

}  // namespace

// In place of the library's check of the name, which knows wildcards and accepts a name among several.
int VerifyPeer(X509_STORE_CTX* store, void*) {
  SSL* ssl = static_cast<SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  HandshakeState& handshake = HandshakeState::Of(ssl);
  if (X509_verify_cert(store) != 1) {
    handshake.reason = ReasonOfVerification(X509_STORE_CTX_get_error(store));
    return 0;
  }
  const std::optional<std::string> name = IdentityOf(X509_STORE_CTX_get0_cert(store));
  if (!name || (SSL_is_server(ssl) == 0 && *name != handshake.expected)) {
    X509_STORE_CTX_set_error(store, X509_V_ERR_HOSTNAME_MISMATCH);
    handshake.reason = Reason::kWrongName;
    return 0;
  }
  handshake.verified = {*name, ChainNotAfter(X509_STORE_CTX_get0_chain(store))};
  // Tickets cost a fifth of a handshake: only those who can use one get one.
  if (SSL_is_server(ssl) == 1 && (SSL_get_options(ssl) & SSL_OP_NO_TICKET) == 0) SSL_set_num_tickets(ssl, kTickets);
  return 1;
}

int SelectProtocol(SSL* ssl, const unsigned char** selected, unsigned char* selected_size, const unsigned char* offered,
                   unsigned offered_size, void*) {
  const Protocols& protocols = *HandshakeState::Of(ssl).protocols;
  if (protocols.empty()) return SSL_TLSEXT_ERR_NOACK;
  for (const std::string& protocol : protocols) {
    for (unsigned at = 0; at < offered_size; at += 1u + offered[at]) {
      if (offered[at] == protocol.size() && memcmp(offered + at + 1, protocol.data(), protocol.size()) == 0) {
        *selected = offered + at + 1;
        *selected_size = offered[at];
        return SSL_TLSEXT_ERR_OK;
      }
    }
  }
  HandshakeState::Of(ssl).reason = Reason::kNoProtocol;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

// The library asks for a selection only if the client offers anything.
int RequireProtocols(SSL* ssl, int* alert, void*) {
  const unsigned char* extension = nullptr;
  size_t size = 0;
  HandshakeState& handshake = HandshakeState::Of(ssl);
  if (handshake.protocols->empty() ||
      SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension, &size) == 1) {
    return SSL_CLIENT_HELLO_SUCCESS;
  }
  handshake.reason = Reason::kNoProtocol;
  *alert = SSL_AD_NO_APPLICATION_PROTOCOL;
  return SSL_CLIENT_HELLO_ERROR;
}

// A session knows the peer's leaf, but not the chain it was verified by, which may end sooner.
int DescribeTicket(SSL* ssl, void*) {
  const HandshakeState& handshake = HandshakeState::Of(ssl);
  const Peer& peer = SSL_session_reused(ssl) == 1 ? handshake.resumed : handshake.verified;
  const int64_t life = std::clamp<int64_t>(peer.not_after - time(nullptr), 0, kMaxTicketLife);
  SSL_SESSION* session = SSL_get_session(ssl);
  SSL_SESSION_set_timeout(session, static_cast<long>(life));
  return SSL_SESSION_set1_ticket_appdata(session, &peer.not_after, sizeof peer.not_after);
}

SSL_TICKET_RETURN AcceptTicket(SSL* ssl, SSL_SESSION* session, const unsigned char*, size_t, SSL_TICKET_STATUS status,
                               void*) {
  HandshakeState& handshake = HandshakeState::Of(ssl);
  handshake.resumed = {};
  if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
  void* data = nullptr;
  size_t size = 0;
  int64_t not_after = 0;
  if (SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1 || size != sizeof not_after) {
    return SSL_TICKET_RETURN_IGNORE_RENEW;
  }
  memcpy(&not_after, data, size);
  const X509* certificate = SSL_SESSION_get0_peer(session);
  if (certificate == nullptr || time(nullptr) >= not_after) return SSL_TICKET_RETURN_IGNORE_RENEW;
  const std::optional<std::string> name = IdentityOf(certificate);
  if (!name) return SSL_TICKET_RETURN_IGNORE_RENEW;
  handshake.resumed = {*name, not_after};
  SSL_set_num_tickets(ssl, kTickets);
  return SSL_TICKET_RETURN_USE_RENEW;
}

int KeepSession(SSL* ssl, SSL_SESSION* session) {
  HandshakeState& handshake = HandshakeState::Of(ssl);
  const Peer& peer = SSL_session_reused(ssl) == 1 ? handshake.resumed : handshake.verified;
  if (handshake.sessions == nullptr || peer.name.empty()) return 0;
  const int64_t good_until = time(nullptr) + static_cast<int64_t>(SSL_SESSION_get_timeout(session));
  handshake.sessions->Add(handshake.session_key, {Session(session), peer.not_after, good_until});
  return 1;
}

}  // namespace weft::core::tls
