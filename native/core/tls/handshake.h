// What OpenSSL's callbacks know of the connection they are called for, and what they leave for it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "failure.h"
#include "handles.h"

namespace weft::core::tls {

class ClientSessions;

// In the order of preference.
using Protocols = std::vector<std::string>;

struct Peer {
  std::string name;  // empty: it showed no certificate
  int64_t not_after = 0;
};

struct HandshakeState {
  static HandshakeState& Of(const SSL* ssl) { return *static_cast<HandshakeState*>(SSL_get_app_data(ssl)); }

  const Protocols* protocols = nullptr;
  std::string expected;     // a client's: who the server must be
  std::string session_key;  // a client's
  ClientSessions* sessions = nullptr;
  Peer verified;  // by its chain
  Peer resumed;   // by a ticket that may still turn out not to be taken
  Reason reason = Reason::kNone;
};

// The callbacks that need only this.
int VerifyPeer(X509_STORE_CTX* store, void*);
int SelectProtocol(SSL* ssl, const unsigned char** selected, unsigned char* selected_size, const unsigned char* offered,
                   unsigned offered_size, void*);
int RequireProtocols(SSL* ssl, int* alert, void*);
int DescribeTicket(SSL* ssl, void*);
SSL_TICKET_RETURN AcceptTicket(SSL* ssl, SSL_SESSION* session, const unsigned char* name, size_t name_size,
                               SSL_TICKET_STATUS status, void*);
int KeepSession(SSL* ssl, SSL_SESSION* session);

}  // namespace weft::core::tls
