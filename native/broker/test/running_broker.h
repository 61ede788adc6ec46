// The real broker as a process of the test's, and the two kinds of peers that it has.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "../descriptor.h"
#include "../protocol.h"

namespace weft::broker::test {

constexpr uid_t kWorkerUid = 65432;

// argv[1] of the test.
extern const char* broker_binary;

struct Received {
  std::vector<std::byte> bytes;
  std::vector<Descriptor> descriptors;

  Type type() const;
  template <typename T>
  T As() const;
};

class Peer {
 public:
  explicit Peer(Descriptor socket) : socket_(std::move(socket)) {}

  // false: the broker has cut this peer off.
  bool Send(std::span<const std::byte> bytes, std::span<const int> descriptors = {});
  template <typename T>
  bool Send(const T& message, std::span<const int> descriptors = {}) {
    return Send(std::as_bytes(std::span(&message, 1)), descriptors);
  }
  // Nothing: closed by the broker. Throws when there is neither for some seconds.
  std::optional<Received> Receive();
  // Receives a message of this type or throws.
  template <typename T>
  T Expect(Type type, size_t descriptors = 0);
  Received ExpectMessage(Type type);
  bool IsCutOff();
  bool IsSilent(std::chrono::milliseconds time);

 private:
  Descriptor socket_;
};

class RunningBroker {
 public:
  RunningBroker();
  ~RunningBroker();

  Peer Connect();
  Peer Main();
  Peer Worker(uint32_t slot);
  int Descriptors() const;
  void LimitDescriptors(int most) const;
  // Waits for the end; true: it ended by itself with exit code 0.
  bool Ended(std::chrono::milliseconds deadline);
  const std::string& path() const { return path_; }
  // The broker's listeners by pod and worker, as the kernel programs see them.
  int listener_map() const { return listener_map_.get(); }

 private:
  std::string folder_, path_;
  Descriptor listener_map_;
  pid_t process_ = -1;
};

// A new network namespace with its loopback device up.
class PodNetns {
 public:
  PodNetns();
  int get() const { return netns_.get(); }
  // Calls it inside.
  template <typename Function>
  auto Inside(Function function) const;

 private:
  Descriptor netns_;
};

AddPod AddPodMessage(uint32_t pod, uint32_t workers);
PodAdded AddTo(Peer& main, const AddPod& request, const PodNetns& pod);

// Runs the function on a thread of its own in the namespace, so that the test itself never leaves its own.
void RunInside(int netns, void (*function)(void*), void* argument);

template <typename Function>
auto PodNetns::Inside(Function function) const {
  using Result = decltype(function());
  struct Call {
    Function& function;
    std::optional<Result> result;
  } call{function, {}};
  RunInside(
      netns_.get(),
      [](void* argument) { static_cast<Call*>(argument)->result = static_cast<Call*>(argument)->function(); }, &call);
  return std::move(*call.result);
}

inline Type Received::type() const {
  Type type;
  if (bytes.size() < sizeof type) throw std::runtime_error("a message without a type");
  memcpy(&type, bytes.data(), sizeof type);
  return type;
}

template <typename T>
T Received::As() const {
  if (bytes.size() != sizeof(T)) throw std::runtime_error("a message of another size");
  T message;
  memcpy(&message, bytes.data(), sizeof message);
  return message;
}

template <typename T>
T Peer::Expect(Type type, size_t descriptors) {
  const Received received = ExpectMessage(type);
  if (received.descriptors.size() != descriptors) throw std::runtime_error("another number of descriptors");
  return received.As<T>();
}

}  // namespace weft::broker::test
