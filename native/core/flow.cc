#include "flow.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace weft::core {
namespace {

constexpr uint32_t kBytesPerTurn = 1024 * 1024;

}  // namespace

// A step says kBusy while it makes progress.
Flow::State Flow::Pump(Transport& transport, int source, int destination, int64_t now_us) {
  turn_bytes_ = 0;
  do {
    state_ = Step(transport, source, destination, now_us);
  } while (state_ == State::kBusy && turn_bytes_ < kBytesPerTurn);
  return state_;
}

Flow::State Flow::Step(Transport& transport, int source, int destination, int64_t now_us) {
  if (rest_) return DrainRest(destination);
  if (in_pipe_ > 0) return DrainPipe(transport.pipes, destination);
  if (source_ended_) return State::kEnded;
  if (bulk_ && !pipe_) pipe_ = transport.pipes.Borrow(now_us);
  return pipe_ ? Splice(transport, source, destination) : Copy(transport, source, destination);
}

Flow::State Flow::Copy(Transport& transport, int source, int destination) {
  std::byte* const buffer = transport.buffer.get();
  const ssize_t got = recv(source, buffer, Transport::kCopyBytes, 0);
  if (got < 0) return Stopped(State::kWaiting, State::kSourceFailed);
  if (got == 0) {
    source_ended_ = true;
    return State::kEnded;
  }
  bulk_ = got == Transport::kCopyBytes;
  const ssize_t put = send(destination, buffer, static_cast<size_t>(got), MSG_NOSIGNAL);
  if (put < 0 && Stopped(State::kBlocked, State::kDestinationFailed) == State::kDestinationFailed) {
    return State::kDestinationFailed;
  }
  const size_t taken = put < 0 ? 0 : static_cast<size_t>(put);
  Moved(taken);
  if (put == got) return bulk_ || read_to_end_ ? State::kBusy : State::kWaiting;
  rest_begin_ = 0;
  rest_end_ = static_cast<uint16_t>(static_cast<size_t>(got) - taken);
  rest_ = std::make_unique_for_overwrite<std::byte[]>(rest_end_);
  memcpy(rest_.get(), buffer + taken, rest_end_);
  return State::kBlocked;
}

Flow::State Flow::DrainRest(int destination) {
  const ssize_t put =
      send(destination, rest_.get() + rest_begin_, static_cast<size_t>(rest_end_ - rest_begin_), MSG_NOSIGNAL);
  if (put < 0) return Stopped(State::kBlocked, State::kDestinationFailed);
  Moved(static_cast<size_t>(put));
  rest_begin_ = static_cast<uint16_t>(rest_begin_ + put);
  if (rest_begin_ == rest_end_) rest_.reset();
  return State::kBusy;
}

// The pipe is filled only when empty: EAGAIN could otherwise mean a full pipe as well as an empty socket (splice(2)).
Flow::State Flow::Splice(Transport& transport, int source, int destination) {
  const ssize_t got =
      splice(source, nullptr, pipe_.write, nullptr, transport.pipes.bytes(), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (got > 0) {
    in_pipe_ = static_cast<uint32_t>(got);
    return DrainPipe(transport.pipes, destination);
  }
  const State stopped = got < 0 ? Stopped(State::kWaiting, State::kSourceFailed) : State::kEnded;
  source_ended_ = stopped == State::kEnded;
  bulk_ = turn_bytes_ >= Transport::kCopyBytes;
  transport.pipes.Return(pipe_);
  pipe_ = {};
  return stopped;
}

// splice(2) has no MSG_NOSIGNAL: the process must ignore SIGPIPE, as Node does.
Flow::State Flow::DrainPipe(PipePool& pipes, int destination) {
  const ssize_t put = splice(pipe_.read, nullptr, destination, nullptr, in_pipe_, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (put < 0) return Stopped(State::kBlocked, State::kDestinationFailed);
  Moved(static_cast<size_t>(put));
  in_pipe_ -= static_cast<uint32_t>(put);
  if (in_pipe_ == 0 && turn_bytes_ >= kBytesPerTurn) {  // others may want it before this flow's next turn
    pipes.Return(pipe_);
    pipe_ = {};
  }
  return State::kBusy;
}

Flow::State Flow::Stopped(State would_block, State failed) {
  if (errno == EAGAIN) return would_block;
  if (errno == EINTR) return State::kBusy;
  error_ = static_cast<int16_t>(errno);
  return failed;
}

void Flow::Drop(PipePool& pipes) {
  if (pipe_) in_pipe_ > 0 ? pipes.Discard(pipe_) : pipes.Return(pipe_);
  pipe_ = {};
  rest_.reset();
}

}  // namespace weft::core
