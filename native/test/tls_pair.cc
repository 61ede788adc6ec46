#include "tls_pair.h"

#include <sys/socket.h>

#include "check.h"

namespace weft::test {

using core::tls::Connection;
using core::tls::ContextError;
using core::tls::Moved;
using core::tls::Status;

ContextPtr MakeContext(const core::tls::Identity& identity, const core::tls::ContextOptions& options) {
  ContextError error;
  ContextPtr context = core::tls::Context::Make(identity, options, error);
  CHECK_EQUAL(static_cast<int>(error), static_cast<int>(ContextError::kNone));
  return context;
}

std::string Reasons(const core::tls::Failure& failure) {
  static constexpr const char* kNames[] = {"none",          "no certificate",  "unknown authority", "expired",
                                           "not yet valid", "bad certificate", "wrong name",        "no protocol",
                                           "protocol",      "alert",           "truncated",         "system"};
  std::string text = kNames[static_cast<size_t>(failure.reason)];
  if (failure.detail != 0) text += " " + std::to_string(failure.detail);
  return text;
}

TlsPair::TlsPair(const ContextPtr& client_context, const ContextPtr& server_context, const std::string& identity,
                 core::tls::Protocols client_protocols_given, core::tls::Protocols server_protocols_given)
    : client_protocols(std::move(client_protocols_given)), server_protocols(std::move(server_protocols_given)) {
  int sockets[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, sockets) == 0);
  client_socket.Reset(sockets[0]);
  server_socket.Reset(sockets[1]);
  client = Connection::Connect(client_context, buffers, sockets[0], client_protocols, identity);
  server = Connection::Accept(server_context, buffers, sockets[1], server_protocols);
}

bool TlsPair::Handshake() {
  Status client_status = Status::kWantsRead, server_status = Status::kWantsRead;
  for (int turn = 0; turn < 20; turn++) {
    if (client_status != Status::kDone && client_status != Status::kFailed) client_status = client->Handshake();
    if (server_status != Status::kDone && server_status != Status::kFailed) server_status = server->Handshake();
  }
  return client_status == Status::kDone && server_status == Status::kDone;
}

Status TlsPair::ClientStatus() {
  std::byte room[64];
  return client->Read(room).status;
}

std::string ReadSome(Connection& connection) {
  std::string text(100'000, '\0');
  text.resize(connection.Read(std::as_writable_bytes(std::span(text))).bytes);
  return text;
}

void SendAll(Connection& from, Connection& to, const std::string& text) {
  std::string got;
  size_t sent = 0;
  for (int turn = 0; turn < 100'000 && got.size() < text.size(); turn++) {
    const std::span<const std::byte> part = std::as_bytes(std::span(text)).subspan(sent);
    const Moved moved = from.Write(std::span(&part, 1));
    CHECK(moved.status == Status::kDone || moved.status == Status::kWantsWrite);
    sent += moved.bytes;
    got += ReadSome(to);
    CHECK(to.failure().reason == core::tls::Reason::kNone);
  }
  CHECK(got == text);
}

void TlsPair::Echo(const std::string& text) {
  SendAll(*client, *server, text);
  SendAll(*server, *client, text);
}

}  // namespace weft::test
