// A worker's end of the broker's socket (native/broker/protocol.h). Comes back by itself when the broker does.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "../broker/protocol.h"
#include "descriptor.h"
#include "event_loop.h"

namespace weft::core {

class BrokerEvents {
 public:
  virtual void BrokerListener(const broker::Listener& message, Descriptor socket) = 0;
  virtual void BrokerListenerGone(uint32_t pod) = 0;
  virtual void BrokerSockets(const broker::Sockets& message, std::span<Descriptor> sockets) = 0;
  virtual void BrokerDrain(uint32_t grace_ms) = 0;
  // Messages can be sent (again).
  virtual void BrokerWritable() = 0;
  virtual void BrokerLost() = 0;

 protected:
  ~BrokerEvents() = default;
};

class BrokerClient final : private Watcher, private Timer {
 public:
  BrokerClient(EventLoop& loop, BrokerEvents& events, std::string path, uint32_t slot);
  ~BrokerClient() { Close(); }

  // The first attempt; those after it come by timer.
  void Connect();
  void Close();
  // false: not now, BrokerWritable() follows.
  bool AskForSockets(uint32_t pod, uint32_t family, uint32_t count);

 private:
  void Ready(uint32_t events) override;
  void Expired() override { Connect(); }
  bool Receive();
  void Dispatch(const std::byte* message, size_t size, std::span<Descriptor> descriptors);
  void Lose();
  void Watch(bool writable);
  bool Send(const void* message, size_t size);

  EventLoop& loop_;
  BrokerEvents& events_;
  const std::string path_;
  const uint32_t slot_;
  Descriptor socket_;
  bool blocked_ = false;
};

}  // namespace weft::core
