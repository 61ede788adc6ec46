// Connects a socket of a pod to a destination: waits for the socket, leaves the client's address for the app where that
// is asked for, and waits for the handshake.
#pragma once

#include "address.h"
#include "clients_map.h"
#include "descriptor.h"
#include "event_loop.h"
#include "socket_stock.h"

namespace weft::core {

class Dial;

class SocketSource {
 public:
  // Supplies the dial with a socket of the pod, now or later.
  virtual void Provide(Dial& dial) = 0;

 protected:
  ~SocketSource() = default;
};

class DialEvents {
 public:
  // A watched socket is in the loop with its dial as watcher: Modify() it before the next event.
  virtual void Dialed(Descriptor socket, bool watched) = 0;
  virtual void DialFailed(int error) = 0;

 protected:
  ~DialEvents() = default;
};

struct DialContext {
  EventLoop& loop;
  SocketSource& sockets;
  const ClientsMap& clients;
};

class Dial final : public SocketWaiter, private Watcher {
 public:
  // Edge-triggered and added once. EPOLLOUT joins when a write blocks for the first time; EPOLLIN is away while the
  // other side is blocked, or every segment that arrives would wake the loop for nothing.
  static const uint32_t kEvents;

  Dial(const DialContext& context, DialEvents& events) : context_(context), events_(events) {}
  ~Dial() { Cancel(); }

  // From a socket of the pod. `client`: whom the app shall see, or none. May call back at once.
  void Start(uint32_t pod, const Endpoint& destination, const Endpoint* client);
  void Cancel();

  uint32_t pod() const { return pod_; }
  // There was a socket to try with.
  bool supplied() const { return supplied_; }
  uint32_t family() const { return FamilyOf(destination_.address); }

  void Supplied(Descriptor socket, SourceAddresses& sources) override;
  void NotSupplied(int error) override { events_.DialFailed(error); }

 private:
  int Announce(SourceAddresses& sources);
  void Withdraw();
  void Fail(int error);
  void Ready(uint32_t events) override;

  const DialContext& context_;
  DialEvents& events_;
  uint32_t pod_ = 0;
  Endpoint destination_{};
  Endpoint client_{};
  struct client_key announced_key_ {};
  Descriptor socket_;
  uint8_t attempts_ = 0;
  bool restores_client_ = false;
  bool announced_ = false;
  bool supplied_ = false;
};

// The error that a socket has met, or `otherwise` where it was told already.
int SocketError(int socket, int otherwise);

// Closing then sends RST: socket(7), SO_LINGER.
void ResetOnClose(int socket);

}  // namespace weft::core
