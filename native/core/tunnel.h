// A TLS connection between two agents that the connections of one pod with one endpoint share: weft/1 over mutual TLS
// (docs/wire.md).
#pragma once

#include <memory>
#include <span>
#include <string>

#include "connection_record.h"
#include "dial.h"
#include "list.h"
#include "peer_stream.h"
#include "secure_link.h"
#include "tunnel_pool.h"
#include "weft1/session.h"

namespace weft::core {

class Tunnel;

// A connection that waits for a stream; leaves by unlinking itself.
class StreamWaiter : public Link<StreamWaiter> {
 public:
  virtual weft1::OpenRequest request() const = 0;
  // Who takes the stream's events from now on.
  virtual PeerStreamEvents& Opened(PeerStream& stream, int64_t tunnel_born_us) = 0;
  virtual void NotOpened(CloseReason reason, int error) = 0;

 protected:
  ~StreamWaiter() = default;
};

class TunnelOwner {
 public:
  // The peer opens a stream. Returns who takes its events, or null where it is refused.
  virtual PeerStreamEvents* StreamOpened(Tunnel& tunnel, PeerStream& stream, const weft1::OpenRequest& request) = 0;
  // Told once, with no stream left. The tunnel may be retired from the loop now.
  virtual void TunnelClosed(Tunnel& tunnel) = 0;

 protected:
  ~TunnelOwner() = default;
};

struct TunnelContext {
  DialContext dial;
  tls::Buffers& buffers;
  std::span<std::byte> received;  // what is read from TLS, for the time of one call
  TunnelOwner& owner;
  uint32_t peer_timeout_ms;
  uint32_t idle_ms;
  uint32_t max_age_ms;
};

class Tunnel final : public Retired,
                     public Link<Tunnel>,
                     private DialEvents,
                     private SecureLinkEvents,
                     private weft1::SessionEvents,
                     private Task,
                     private Timer {
 public:
  static const tls::Protocols kProtocols;

  // Of the accepting side only the pod is known: the one at this end.
  Tunnel(const TunnelContext& context, const TunnelKey& key, weft1::Role role);
  ~Tunnel() override;

  // The opening side: dials from the pod; the peer must prove the name. An agent that is gone comes back, so it is
  // dialled again for as long as somebody waits.
  void Connect(std::shared_ptr<const tls::Context> credentials, const std::string& expected_name, uint32_t timeout_ms);
  // The accepting side: a TLS connection that has been established with ALPN weft/1.
  void Serve(const Identity& identity, std::unique_ptr<SecureLink> link);

  // Opens a stream, now or when the handshake is done.
  void Open(StreamWaiter& waiter);
  // It is neither too old nor too full, and carries no bulk.
  bool TakesStreams() const;
  // The opening side opens no more streams, and ends the tunnel with the last one; the accepting side asks it to, and
  // refuses none.
  void Retire();
  // Of the accepting side: the same, but what the peer opens although it has been asked is refused soon.
  void GoAway();
  void Close(CloseReason reason, int error);

  // Of the accepting side: its TCP connection, and who is at the other end.
  const Identity& identity() const { return identity_; }
  const TunnelKey& key() const { return key_; }
  bool is_served() const { return identity_.tunnel != 0; }
  // Whoever could not connect anew by what it has shown opens no stream either.
  bool IsPeerExpired() const;

 private:
  class Stream;

  void Dialed(Descriptor socket, bool watched) override;
  void DialFailed(int error) override;
  void Established() override;
  void Readable() override;
  void Writable() override;
  void LinkFailed(const tls::Failure& failure) override;
  void OnOpen(weft1::Stream& stream, const weft1::OpenRequest& request) override;
  void OnData(weft1::Stream& stream, std::span<const std::byte> bytes) override;
  void OnRoom(weft1::Stream& stream) override;
  void OnFin(weft1::Stream& stream) override;
  void OnReset(weft1::Stream& stream, weft1::ErrorCode code) override;
  void OnGoAway() override;
  void OnOutput() override { loop().Defer(*this); }
  void Run() override;
  void Expired() override;

  void Try();
  void GiveUpDeadPeer(int socket);
  bool OpenNow(StreamWaiter& waiter);
  void Ended(Stream* stream);
  void Flush();
  void CloseIfUnused();
  EventLoop& loop() const { return context_.dial.loop; }

  const TunnelContext& context_;
  const TunnelKey key_;
  const weft1::Role role_;
  Dial dial_;
  std::unique_ptr<SecureLink> link_;
  weft1::Session session_;
  const int64_t idle_us_;
  const int64_t max_age_us_;
  List<StreamWaiter, StreamWaiter> waiting_;
  Identity identity_{};
  std::shared_ptr<const tls::Context> credentials_;
  std::string expected_name_;
  int64_t timeout_us_ = 0;  // of one attempt
  int64_t born_us_;
  int64_t used_us_;
  size_t opened_ = 0;           // by the peer, in what was read last
  uint32_t waiting_count_ = 0;  // at most: who gave up is counted
  uint32_t refusals_ = 0;
  bool established_ = false;
  bool closed_ = false;
  bool retired_ = false;  // of the opening side
  bool carries_bulk_ = false;
  bool must_read_ = false;
};

}  // namespace weft::core
