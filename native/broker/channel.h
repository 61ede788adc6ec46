// One connection to main or to a worker: messages of protocol.h with descriptors beside them (unix(7), SCM_RIGHTS).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <deque>
#include <span>
#include <vector>

#include "descriptor.h"

namespace weft::broker {

struct Message {
  std::vector<std::byte> bytes;
  std::vector<Descriptor> descriptors;
};

class Channel {
 public:
  explicit Channel(Descriptor socket);

  enum class Result { kMessage, kNothing, kClosed };
  Result Receive(Message* message);

  // Sends now or queues. Descriptors are duplicated by the kernel as they are sent; queued ones are duplicated here.
  // Returns false where the peer does not read and its queue is full: it must be cut off.
  bool Send(std::span<const std::byte> bytes, std::span<const int> descriptors);
  bool Flush();
  bool HasQueued() const { return !queue_.empty(); }
  int descriptor() const { return socket_.get(); }
  uid_t PeerUid() const;

 private:
  bool SendNow(std::span<const std::byte> bytes, std::span<const int> descriptors);

  Descriptor socket_;
  std::deque<Message> queue_;
  size_t queued_descriptors_ = 0;
};

template <typename T>
std::span<const std::byte> BytesOf(const T& message) {
  return std::as_bytes(std::span(&message, 1));
}

}  // namespace weft::broker
