// One direction of a connection. Short messages are copied through the engine's buffer (one recv, one send); a
// direction that fills reads is bulk and goes through a pipe by splice(2) while one can be borrowed. What the
// destination does not take stays in the pipe, or, when copied, in a small buffer of the flow's own; nothing more is
// read until it is gone. An idle flow holds no memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "pipe_pool.h"

namespace weft::core {

struct Transport {
  static constexpr uint32_t kCopyBytes = 16 * 1024;

  PipePool& pipes;
  std::unique_ptr<std::byte[]> buffer = std::make_unique<std::byte[]>(kCopyBytes);
};

class Flow {
 public:
  enum class State : uint8_t {
    kWaiting,            // the source has nothing now
    kBlocked,            // the destination takes nothing now
    kBusy,               // there may be more, but others shall have their turn
    kEnded,              // the source's FIN was read and all before it is written
    kSourceFailed,       // errno is in error()
    kDestinationFailed,  // likewise
  };

  // Sockets are non-blocking and watched edge-triggered.
  State Pump(Transport& transport, int source, int destination, int64_t now_us);
  // The source has more to say than bytes: a FIN, an error or urgent data, at which reads stop short (tcp(7)). A short
  // read then does not mean that the source is empty.
  void ReadToEnd() { read_to_end_ = true; }
  void Drop(PipePool& pipes);

  State state() const { return state_; }
  int error() const { return error_; }
  uint64_t bytes() const { return bytes_; }

 private:
  State Step(Transport& transport, int source, int destination, int64_t now_us);
  State Copy(Transport& transport, int source, int destination);
  State Splice(Transport& transport, int source, int destination);
  State DrainRest(int destination);
  State DrainPipe(PipePool& pipes, int destination);
  // What a failed call means, by errno.
  State Stopped(State would_block, State failed);
  void Moved(size_t bytes) {
    bytes_ += bytes;
    turn_bytes_ += static_cast<uint32_t>(bytes);
  }

  uint64_t bytes_ = 0;
  std::unique_ptr<std::byte[]> rest_;
  Pipe pipe_;
  uint32_t in_pipe_ = 0;
  uint32_t turn_bytes_ = 0;
  uint16_t rest_begin_ = 0;
  uint16_t rest_end_ = 0;
  int16_t error_ = 0;
  State state_ = State::kWaiting;
  bool bulk_ = false;
  bool read_to_end_ = false;
  bool source_ended_ = false;
};

}  // namespace weft::core
