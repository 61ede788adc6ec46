// Whoever takes the decisions: TypeScript behind native/binding, or a test. Called inside EventLoop::Turn() (OnClose
// also inside Engine::Close()); may call the engine's methods.
#pragma once

#include <cstdint>

#include "connection_record.h"
#include "probe.h"

namespace weft::core {

class Decisions {
 public:
  virtual void OnListener(uint32_t pod, uint32_t port, const struct address& ipv4, const struct address& ipv6) = 0;
  virtual void OnListenerGone(uint32_t pod) = 0;
  // Once per connection. The decision is "refuse" until it is written.
  virtual void OnConnection(ConnectionRecord& record) = 0;
  // Once per connection, refused ones too.
  virtual void OnClose(ConnectionRecord& record) = 0;
  // Once per probe.
  virtual void OnProbe(uint32_t probe, ProbeResult result) = 0;
  virtual void OnDrain(uint32_t grace_ms) = 0;
  virtual void OnBrokerLost() = 0;

 protected:
  ~Decisions() = default;
};

}  // namespace weft::core
