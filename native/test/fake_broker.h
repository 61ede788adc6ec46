// Speaks the broker's protocol from a thread of the test. Its sockets are of the test's own network namespace.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../broker/protocol.h"
#include "sockets.h"

namespace weft::test {

class FakeBroker {
 public:
  enum class Supply { kSockets, kNothing, kError };

  explicit FakeBroker(std::string path);
  ~FakeBroker();

  // The worker gets a duplicate, now and whenever it connects.
  void AddListener(uint32_t pod, const Descriptor& listener);
  void RemoveListener(uint32_t pod);
  void Drain(uint32_t grace_ms);
  // What is asked for meanwhile is answered when sockets are supplied again.
  void SetSupply(Supply supply);
  uint32_t supplied() const { return supplied_; }

 private:
  struct OwnListener {
    uint32_t pod;
    Descriptor socket;
  };

  void Serve();
  void AcceptWorker();
  bool Receive();
  void Answer(const broker::SocketsWanted& wanted);
  void SendListener(const OwnListener& listener);
  void Send(const void* message, size_t size, const std::vector<int>& descriptors = {});

  const std::string path_;
  Descriptor listener_;
  std::mutex mutex_;  // guards what follows
  Descriptor worker_;
  std::vector<OwnListener> listeners_;
  std::vector<broker::SocketsWanted> unanswered_;
  Supply supply_ = Supply::kSockets;
  std::atomic<uint32_t> supplied_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace weft::test
