// TLS over one non-blocking socket, which stays the caller's. Nothing that was peeked at need be given back: the bytes
// are still in the kernel. Nothing waits: a call does what can be done now and says what to wait for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "context.h"
#include "failure.h"
#include "handshake.h"
#include "wire.h"

namespace weft::core::tls {

enum class Status : uint8_t {
  kDone,        // of Read(): the room is full, or enough was received for one call; there may be more
  kWantsRead,   // nothing more until the socket is readable
  kWantsWrite,  // nothing more until the socket is writable
  kEnded,       // the peer's close_notify
  kFailed,      // failure() says why
};

struct Moved {
  size_t bytes;  // may be more than none with any status
  Status status;
};

class Connection {
 public:
  // The context lives as long as the connection; buffers and protocols must. Both throw std::bad_alloc.
  // A server selects the first of the protocols that the client offers and refuses a client that offers none of them;
  // with no protocols it takes no part in ALPN.
  static std::unique_ptr<Connection> Accept(std::shared_ptr<const Context> context, Buffers& buffers, int fd,
                                            const Protocols& protocols);
  // The identity is the SNI sent and the name that the server must prove.
  static std::unique_ptr<Connection> Connect(std::shared_ptr<const Context> context, Buffers& buffers, int fd,
                                             const Protocols& protocols, const std::string& identity);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // When it is done, Read() comes first: bytes that followed the handshake are no longer in the socket, so no event
  // tells of them.
  Status Handshake();

  // Of a client these are known when Handshake() is done, but whether the server accepts it shows at the first Read().
  const Peer& peer() const { return peer_; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  std::string_view protocol() const;

  Moved Read(std::span<std::byte> room);
  // What it takes is sent, or kept until Flush() sends it; nothing is taken while anything is kept.
  Moved Write(std::span<const std::span<const std::byte>> parts);
  bool wants_write() const { return wire_.blocked(); }
  Status Flush();
  // Sends close_notify; reading goes on. The socket's own shutdown is the caller's.
  Status Shutdown();
  // The socket has more to say than bytes (FIN, error): a short read does not mean that it is empty.
  void ReadToEnd() { wire_.ReadToEnd(); }

  const Failure& failure() const { return failure_; }

 private:
  Connection(std::shared_ptr<const Context> context, SSL_CTX* ssl_context, Buffers& buffers, int fd,
             const Protocols& protocols);

  Status Stopped(int result);
  Status Fail(Failure failure);
  bool Established();
  bool SendAnswers(Status status);
  size_t TakeRecord(std::span<const std::span<const std::byte>> parts, size_t& part, size_t& offset,
                    std::span<const std::byte>& record);

  const std::shared_ptr<const Context> context_;
  Buffers& buffers_;
  Wire wire_;
  HandshakeState handshake_;
  Peer peer_;
  Failure failure_;
  Ssl ssl_;
};

}  // namespace weft::core::tls
