// A connection between a socket of the node and a peer's stream. Out of a pod the socket is the client's and the stream
// is opened; into a pod the stream is there and the app is dialled.
#pragma once

#include <memory>
#include <utility>

#include "backlog.h"
#include "connection.h"
#include "dial.h"
#include "peer_stream.h"
#include "tunnel.h"

namespace weft::core {

struct StreamRelayContext {
  DialContext dial;
  ConnectionOwner& owner;
};

class StreamRelay final : public Connection,
                          public PeerStreamEvents,
                          public StreamWaiter,
                          private DialEvents,
                          private Watcher,
                          private Task,
                          private Timer {
 public:
  StreamRelay(const StreamRelayContext& context, const Identity& identity, int64_t accepted_us,
              const Decision& decision);

  // Out of a pod: the client's socket; the stream comes by Opened().
  void AwaitStream(Descriptor client) { socket_ = std::move(client); }
  // Into a pod: the stream; the app is dialled once it has Began().
  void TakeStream(PeerStream& stream) { stream_ = &stream; }

  weft1::OpenRequest request() const override;
  PeerStreamEvents& Opened(PeerStream& stream, int64_t tunnel_born_us) override;
  void NotOpened(CloseReason reason, int error) override { Close(reason, error); }

  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;

  void Began() override;
  void Arrived(std::span<const std::byte> bytes) override;
  void HasRoom() override;
  void PeerFinished() override;
  void PeerReset(int error) override;

 private:
  void Dialed(Descriptor socket, bool watched) override;
  void DialFailed(int error) override { Close(CloseReason::kConnectFailed, error); }
  void Ready(uint32_t events) override;
  void Run() override { ReadSocket(); }
  void Expired() override;

  void Begin();
  bool Watch(uint32_t events);
  void ReadSocket();
  void WriteBacklog();
  void PassFin();
  void EndIfFinished();
  void SocketFailed(int error);
  void Close(CloseReason reason, int error);

  bool is_outbound() const { return identity_.origin == Origin::kCaptured; }
  CloseReason SocketReset() const {
    return is_outbound() ? CloseReason::kResetByClient : CloseReason::kResetByUpstream;
  }
  CloseReason StreamReset() const {
    return is_outbound() ? CloseReason::kResetByUpstream : CloseReason::kResetByClient;
  }
  EventLoop& loop() const { return context_.dial.loop; }

  const StreamRelayContext& context_;
  const Decision decision_;
  Dial dial_;
  PeerStream* stream_ = nullptr;
  Descriptor socket_;
  Backlog backlog_;  // of what arrived
  uint64_t to_peer_ = 0;
  uint64_t to_socket_ = 0;
  int64_t moved_us_ = 0;
  int64_t closed_us_ = 0;
  uint32_t watched_ = 0;
  int error_ = 0;
  CloseReason reason_ = CloseReason::kError;
  bool open_ = false;  // both sides are there
  bool closed_ = false;
  bool awaits_room_ = false;
  bool read_to_end_ = false;
  bool socket_finished_ = false;  // its FIN was passed on
  bool peer_finished_ = false;    // its FIN came
  bool fin_passed_ = false;       // and was passed on
};

}  // namespace weft::core
