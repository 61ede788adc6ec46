// One pod's listening socket: every connection that the kernel programs captured for this worker arrives here.
#pragma once

#include <cstdint>

#include "address.h"
#include "descriptor.h"
#include "event_loop.h"

namespace weft::core {

class Listener;

class Acceptor {
 public:
  virtual void Accepted(uint32_t pod, Descriptor socket, const Endpoint& peer) = 0;

 protected:
  ~Acceptor() = default;
};

class Listener final : public Retired, private Watcher, private Timer {
 public:
  // The socket is non-blocking; what accepted sockets inherit (tcp(7), socket(7)) is set on it already.
  Listener(EventLoop& loop, Acceptor& acceptor, uint32_t pod, Descriptor socket);
  ~Listener() override { Close(); }

  // Takes what waits in the socket's queue: closing the last descriptor of a listener resets it.
  void AcceptRest();
  void Close();

 private:
  void Ready(uint32_t events) override;
  void Expired() override;
  bool Accept();
  void Pause();

  EventLoop& loop_;
  Acceptor& acceptor_;
  const uint32_t pod_;
  Descriptor socket_;
};

}  // namespace weft::core
