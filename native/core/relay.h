// A connection between two sockets: dials, moves bytes both ways, and passes FIN and RST on.
#pragma once

#include <cstdint>

#include "connection.h"
#include "dial.h"
#include "flow.h"

namespace weft::core {

// What all relays of an engine share.
struct RelayContext {
  DialContext dial;
  Transport& transport;
  ConnectionOwner& owner;
};

class Relay final : public Connection, private DialEvents, private Task, private Timer {
 public:
  Relay(const RelayContext& context, const Identity& identity, int64_t accepted_us, Descriptor client);

  // Acts on a decision, once.
  void Start(const Decision& decision);
  void ShutDown(CloseReason reason) override { Close(reason, 0); }
  Outcome outcome() const override;

 private:
  enum class State : uint8_t { kConnecting, kRelaying, kClosed };

  struct Side final : Watcher {
    void Ready(uint32_t events) override { relay->SideReady(*this, events); }
    Relay* relay = nullptr;
    Flow outgoing;  // from this side to the other
    Descriptor socket;
    uint32_t watched = 0;   // the events asked for
    bool finished = false;  // its FIN was passed on
  };

  void Dialed(Descriptor socket, bool watched) override;
  void DialFailed(int error) override { Close(CloseReason::kConnectFailed, error); }

  void SideReady(Side& side, uint32_t events);
  void Advance(Side& from);
  void PassFin(Side& from);
  void Failed(Side& side, int error);
  bool Watch(Side& side, uint32_t events);
  Side& Other(const Side& side) { return &side == &client_ ? upstream_ : client_; }

  void Run() override;
  void Expired() override;
  void Close(CloseReason reason, int error);

  bool closed() const { return state_ == State::kClosed; }
  EventLoop& loop() const { return context_.dial.loop; }

  const RelayContext& context_;
  Dial dial_;
  Side client_;
  Side upstream_;
  int64_t closed_us_ = 0;
  int64_t moved_us_ = 0;  // when bytes moved last
  uint32_t idle_timeout_ms_ = 0;
  int error_ = 0;
  State state_ = State::kConnecting;
  CloseReason reason_ = CloseReason::kError;
};

}  // namespace weft::core
