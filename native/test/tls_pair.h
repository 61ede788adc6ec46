// Two ends of one TLS connection in one thread.
#pragma once

#include <memory>
#include <string>

#include "../core/descriptor.h"
#include "../core/tls/connection.h"

namespace weft::test {

using ContextPtr = std::shared_ptr<const core::tls::Context>;

ContextPtr MakeContext(const core::tls::Identity& identity, const core::tls::ContextOptions& options = {});
std::string Reasons(const core::tls::Failure& failure);

class TlsPair {
 public:
  TlsPair(const ContextPtr& client_context, const ContextPtr& server_context, const std::string& identity,
          core::tls::Protocols client_protocols = {"weft/1"}, core::tls::Protocols server_protocols = {"weft/1"});

  // Until neither end gets further. true: both are done.
  bool Handshake();
  // What the client would be told at its first read.
  core::tls::Status ClientStatus();
  // Sends through the client and the server's echo; throws unless it comes back.
  void Echo(const std::string& text);

  core::tls::Buffers buffers;
  core::tls::Protocols client_protocols, server_protocols;
  core::Descriptor client_socket, server_socket;
  std::unique_ptr<core::tls::Connection> client, server;
};

void SendAll(core::tls::Connection& from, core::tls::Connection& to, const std::string& text);
std::string ReadSome(core::tls::Connection& connection);

}  // namespace weft::test
