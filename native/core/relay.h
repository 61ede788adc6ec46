// One connection, from the moment it was accepted: waits for a socket, connects it, moves bytes both ways, and passes
// FIN and RST on.
#pragma once

#include <cstdint>

#include "address.h"
#include "clients_map.h"
#include "connection_record.h"
#include "descriptor.h"
#include "event_loop.h"
#include "flow.h"
#include "list.h"
#include "socket_stock.h"

namespace weft::core {

class Relay;

class RelayOwner {
 public:
  // Supplies the relay with a socket for its destination, now or later.
  virtual void Provide(Relay& relay) = 0;
  // Told once. The relay may be retired now.
  virtual void Closed(Relay& relay) = 0;

 protected:
  ~RelayOwner() = default;
};

// What all relays of an engine share.
struct RelayContext {
  EventLoop& loop;
  Transport& transport;
  const ClientsMap& clients;
  RelayOwner& owner;
};

class Relay final : public Retired, public SocketWaiter, public Link<Relay>, private Task, private Timer {
 public:
  Relay(RelayContext& context, const Identity& identity, Descriptor client);

  // Acts on a decision, once.
  void Start(const Decision& decision);
  void Supplied(Descriptor socket, SourceAddresses& sources) override;
  void NotSupplied(int error) override { Close(CloseReason::kConnectFailed, error); }
  void ShutDown() { Close(CloseReason::kShutdown, 0); }

  bool closed() const { return state_ == State::kClosed; }
  const Identity& identity() const { return identity_; }
  uint32_t destination_family() const { return FamilyOf(destination_.address); }
  // Of a closed relay.
  Outcome outcome() const;

 private:
  enum class State : uint8_t { kDeciding, kWaiting, kConnecting, kRelaying, kClosed };

  struct Side final : Watcher {
    void Ready(uint32_t events) override { relay->SideReady(*this, events); }
    Relay* relay = nullptr;
    Flow outgoing;  // from this side to the other
    Descriptor socket;
    uint32_t watched = 0;   // the events asked for
    bool finished = false;  // its FIN was passed on
  };

  int Announce(SourceAddresses& sources);
  void Withdraw();
  void Connecting();
  void Connected();

  void SideReady(Side& side, uint32_t events);
  void ConnectionReady(uint32_t events);
  void Advance(Side& from);
  void PassFin(Side& from);
  void Failed(Side& side, int error);
  bool Watch(Side& side, uint32_t events);
  Side& Other(const Side& side) { return &side == &client_ ? upstream_ : client_; }

  void Run() override;
  void Expired() override;
  void Close(CloseReason reason, int error);

  RelayContext& context_;
  const Identity identity_;
  Side client_;
  Side upstream_;
  Endpoint destination_{};
  struct client_key announced_key_ {};
  int64_t accepted_us_;
  int64_t closed_us_ = 0;
  int64_t moved_us_ = 0;  // when bytes moved last
  uint32_t idle_timeout_ms_ = 0;
  int error_ = 0;
  State state_ = State::kDeciding;
  CloseReason reason_ = CloseReason::kError;
  bool restores_client_ = false;
  bool announced_ = false;
  uint8_t attempts_ = 0;
};

}  // namespace weft::core
