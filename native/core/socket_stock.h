// Sockets of one pod and family, made in the pod's network namespace by the broker ahead of need. How many are kept
// follows use: a pod that never dialled has none, one that rests keeps one.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "descriptor.h"
#include "event_loop.h"
#include "list.h"
#include "source_addresses.h"

namespace weft::core {

class SocketStock;

// Waits for a socket; leaves by unlinking itself.
class SocketWaiter : public Link<SocketWaiter> {
 public:
  virtual void Supplied(Descriptor socket, SourceAddresses& sources) = 0;
  virtual void NotSupplied(int error) = 0;

 protected:
  ~SocketWaiter() = default;
};

class SocketSupplier {
 public:
  // One request of a stock is under way at a time. false: it could not be sent now; Retry() the stock when it can.
  virtual bool Ask(const SocketStock& stock, uint32_t count) = 0;

 protected:
  ~SocketSupplier() = default;
};

class SocketStock final : private Timer {
 public:
  SocketStock(EventLoop& loop, SocketSupplier& supplier, uint32_t pod, uint32_t family, uint32_t slot);

  uint32_t pod() const { return pod_; }
  uint32_t family() const { return family_; }
  size_t size() const { return sockets_.size(); }
  bool awaited() { return !waiting_.empty(); }

  // Supplies the waiter at once, or when a socket has come.
  void Provide(SocketWaiter& waiter);
  // The answer to Ask(). One without sockets fails all who wait.
  void Received(std::span<Descriptor> sockets, int error);
  void Retry() { Refill(); }
  // No answer will come to what was asked.
  void SupplierLost() { asked_ = 0; }
  void Clear() { sockets_.clear(); }

 private:
  static constexpr uint32_t kLeast = 1, kFirst = 4, kMost = 32, kMostWaiting = 4096;

  void Supply(SocketWaiter& waiter);
  void CountWaiting();
  void Refill();
  void Grow();
  void Expired() override;

  EventLoop& loop_;
  SocketSupplier& supplier_;
  const uint32_t pod_;
  const uint32_t family_;
  SourceAddresses sources_;
  std::vector<Descriptor> sockets_;
  List<SocketWaiter, SocketWaiter> waiting_;
  uint32_t waiting_count_ = 0;  // an upper bound: who gave up is counted until the queue moves or seems full
  uint32_t asked_ = 0;
  uint32_t target_ = 0;
  uint32_t taken_ = 0;
  int64_t refilled_us_ = 0;
};

}  // namespace weft::core
