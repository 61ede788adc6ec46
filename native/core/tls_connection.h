// A captured connection on which the mesh's TLS ends here: first the handshake; then it becomes a tunnel, or, of a peer
// that is no agent, stays one connection whose bytes go to the app.
#pragma once

#include <memory>

#include "connection.h"
#include "list.h"
#include "peer_stream.h"
#include "secure_link.h"

namespace weft::core {

class TlsConnection;

// Handshakes cost their peers little and us memory. Honest ones are short, so the oldest one makes room for the next.
struct Handshakes {
  const uint32_t most;
  List<TlsConnection, TlsConnection> open;
  uint32_t count = 0;
};

class TlsEstablishedEvents {
 public:
  // The handshake is done: TakeLink(), and retire it.
  virtual void TlsEstablished(TlsConnection& connection) = 0;

 protected:
  ~TlsEstablishedEvents() = default;
};

struct TlsConnectionContext {
  EventLoop& loop;
  tls::Buffers& buffers;
  std::span<std::byte> received;
  std::span<std::byte> sent;  // what is being written; events of reading may write
  Handshakes& handshakes;
  ConnectionOwner& owner;
  TlsEstablishedEvents& events;
};

class TlsConnection final : public Connection, public Link<TlsConnection>, private SecureLinkEvents {
 public:
  static const tls::Protocols kProtocols;

  TlsConnection(const TlsConnectionContext& context, const Identity& identity, int64_t accepted_us);

  void Accept(std::shared_ptr<const tls::Context> credentials, Descriptor client);
  std::unique_ptr<SecureLink> TakeLink() { return std::move(link_); }
  SecureLink& link() { return *link_; }

  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;

 private:
  void Established() override;
  void Readable() override {}
  void Writable() override {}
  void LinkFailed(const tls::Failure& failure) override;
  void Leave();
  void Close(CloseReason reason, int error);

  const TlsConnectionContext& context_;
  std::unique_ptr<SecureLink> link_;
  CloseReason reason_ = CloseReason::kError;
  int error_ = 0;
  bool closed_ = false;
};

// The bytes of one TLS connection as a relay sees them.
class TlsStream final : public Retired, public PeerStream, private SecureLinkEvents, private Task {
 public:
  TlsStream(const TlsConnectionContext& context, std::unique_ptr<SecureLink> link);

  void Begin(PeerStreamEvents& events);

  std::span<std::byte> Reserve() override;
  void Commit(size_t bytes) override;
  void Consumed(size_t bytes) override;
  void Finish() override;
  void HandOver(PeerStreamEvents& events) override { events_ = &events; }
  void Reset() override { End(true); }
  void Release() override { End(false); }

 private:
  // What may be with the relay and not consumed yet.
  static constexpr size_t kWindow = 256 * 1024;

  void Established() override {}
  void Readable() override;
  void Writable() override;
  void LinkFailed(const tls::Failure& failure) override;
  void Run() override;
  void End(bool reset);
  void Gone(int error);

  const TlsConnectionContext& context_;
  std::unique_ptr<SecureLink> link_;
  PeerStreamEvents* events_ = nullptr;
  size_t unconsumed_ = 0;
  bool must_read_ = false;
  bool awaits_room_ = false;
  bool finishing_ = false;
  bool said_end_ = false;
};

}  // namespace weft::core
