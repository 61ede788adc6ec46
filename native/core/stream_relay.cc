#include "stream_relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "claims.h"

namespace weft::core {
namespace {

constexpr uint32_t kDefaultConnectTimeoutMs = 10'000;
constexpr size_t kBytesPerTurn = 512 * 1024;

int64_t Microseconds(uint32_t ms) { return int64_t{ms} * 1000; }

}  // namespace

StreamRelay::StreamRelay(const StreamRelayContext& context, const Identity& identity, int64_t accepted_us,
                         const Decision& decision)
    : Connection(identity, accepted_us), context_(context), decision_(decision), dial_(context.dial, *this) {
  const uint32_t timeout_ms = decision.connect_timeout_ms != 0 ? decision.connect_timeout_ms : kDefaultConnectTimeoutMs;
  loop().Schedule(*this, loop().now_us() + Microseconds(timeout_ms));
}

weft1::OpenRequest StreamRelay::request() const {
  return {{identity_.remote_address, static_cast<uint16_t>(identity_.remote_port)},
          {decision_.destination_address, static_cast<uint16_t>(decision_.destination_port)},
          ClaimOf(identity_.detected)};
}

PeerStreamEvents& StreamRelay::Opened(PeerStream& stream, int64_t /*tunnel_born_us*/) {
  stream_ = &stream;
  return *this;
}

void StreamRelay::Began() {
  if (is_outbound()) return Begin();
  const Endpoint client{identity_.remote_address, static_cast<uint16_t>(identity_.remote_port)};
  dial_.Start(decision_.app_pod != 0 ? decision_.app_pod : identity_.pod,
              {decision_.destination_address, static_cast<uint16_t>(decision_.destination_port)}, &client);
}

void StreamRelay::Dialed(Descriptor socket, bool watched) {
  socket_ = std::move(socket);
  if (watched) {
    loop().Modify(socket_.get(), Dial::kEvents, *this);
    watched_ = Dial::kEvents;
  }
  Begin();
}

// The socket is read before it is watched: what the client said is mostly there already.
void StreamRelay::Begin() {
  open_ = true;
  moved_us_ = loop().now_us();
  Timer::Unlink();
  if (decision_.idle_timeout_ms != 0) loop().Schedule(*this, moved_us_ + Microseconds(decision_.idle_timeout_ms));
  if (!backlog_.empty()) WriteBacklog();
  if (!closed_) PassFin();
  if (!closed_) ReadSocket();
  if (!closed_ && watched_ == 0 && !Watch(Dial::kEvents)) Close(CloseReason::kError, errno);
}

bool StreamRelay::Watch(uint32_t events) {
  if (watched_ == events) return true;
  if (watched_ != 0) {
    loop().Modify(socket_.get(), events, *this);
  } else if (!loop().TryAdd(socket_.get(), events, *this)) {
    return false;
  }
  watched_ = events;
  return true;
}

void StreamRelay::Ready(uint32_t events) {
  if (closed_ || !open_) return;
  if ((events & ~(EPOLLIN | EPOLLOUT)) != 0) read_to_end_ = true;
  if ((events & EPOLLOUT) != 0 && !backlog_.empty()) WriteBacklog();
  if ((events & ~EPOLLOUT) != 0 && !closed_) ReadSocket();
  if ((events & EPOLLERR) != 0 && !closed_) SocketFailed(SocketError(socket_.get(), ECONNRESET));
}

// A short read has emptied the socket, unless there is more to say than bytes: a FIN, an error or urgent data, at which
// reads stop short (tcp(7)).
void StreamRelay::ReadSocket() {
  if (socket_finished_) return;
  for (size_t turn = 0; turn < kBytesPerTurn;) {
    const std::span<std::byte> room = stream_->Reserve();
    awaits_room_ = room.empty();
    if (awaits_room_) return;
    const ssize_t got = recv(socket_.get(), room.data(), room.size(), 0);
    stream_->Commit(got > 0 ? static_cast<size_t>(got) : 0);
    if (got < 0) {
      if (errno == EAGAIN) return;
      if (errno == EINTR) continue;
      return SocketFailed(errno);
    }
    if (got == 0) {
      socket_finished_ = true;
      stream_->Finish();
      return EndIfFinished();
    }
    to_peer_ += static_cast<uint64_t>(got);
    turn += static_cast<size_t>(got);
    moved_us_ = loop().now_us();
    if (static_cast<size_t>(got) < room.size() && !read_to_end_) return;
  }
  loop().Defer(*this);
}

void StreamRelay::HasRoom() {
  if (!closed_ && std::exchange(awaits_room_, false)) ReadSocket();
}

void StreamRelay::Arrived(std::span<const std::byte> bytes) {
  if (closed_) return;
  size_t taken = 0;
  if (open_ && backlog_.empty()) {
    const ssize_t put = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (put < 0 && errno != EAGAIN && errno != EINTR) return SocketFailed(errno);
    taken = put > 0 ? static_cast<size_t>(put) : 0;
    if (taken > 0) {
      moved_us_ = loop().now_us();
      to_socket_ += taken;
      stream_->Consumed(taken);
    }
  }
  if (taken == bytes.size()) return;
  backlog_.Append(bytes.subspan(taken));
  if (open_ && !Watch(watched_ | Dial::kEvents | EPOLLOUT)) Close(CloseReason::kError, errno);
}

void StreamRelay::WriteBacklog() {
  while (!backlog_.empty()) {
    const ssize_t put = backlog_.SendTo(socket_.get());
    if (put < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return SocketFailed(errno);
      if (!Watch(watched_ | Dial::kEvents | EPOLLOUT)) Close(CloseReason::kError, errno);
      return;
    }
    to_socket_ += static_cast<uint64_t>(put);
    moved_us_ = loop().now_us();
    stream_->Consumed(static_cast<size_t>(put));
  }
  PassFin();
}

void StreamRelay::PeerFinished() {
  peer_finished_ = true;
  if (!closed_) PassFin();
}

void StreamRelay::PassFin() {
  if (!peer_finished_ || fin_passed_ || !open_ || !backlog_.empty()) return;
  fin_passed_ = true;
  if (!socket_finished_ && shutdown(socket_.get(), SHUT_WR) != 0) {
    return SocketFailed(SocketError(socket_.get(), errno));
  }
  EndIfFinished();
}

void StreamRelay::EndIfFinished() {
  if (socket_finished_ && fin_passed_) Close(CloseReason::kFinished, 0);
}

// The stream is gone when this is called.
void StreamRelay::PeerReset(int error) {
  stream_ = nullptr;
  if (!closed_) Close(StreamReset(), error);
}

void StreamRelay::SocketFailed(int error) { Close(SocketReset(), error); }

// Bytes that move do not touch the timer: it looks when it expires.
void StreamRelay::Expired() {
  if (!open_) return Close(CloseReason::kConnectTimeout, ETIMEDOUT);
  const int64_t due = moved_us_ + Microseconds(decision_.idle_timeout_ms);
  if (loop().now_us() >= due) return Close(CloseReason::kIdleTimeout, ETIMEDOUT);
  loop().Schedule(*this, due);
}

void StreamRelay::Close(CloseReason reason, int error) {
  if (std::exchange(closed_, true)) return;
  reason_ = reason;
  error_ = error;
  closed_us_ = loop().now_us();
  Task::Unlink();
  Timer::Unlink();
  StreamWaiter::Unlink();
  dial_.Cancel();
  if (PeerStream* stream = std::exchange(stream_, nullptr)) {
    reason == CloseReason::kFinished ? stream->Release() : stream->Reset();
  }
  if (reason != CloseReason::kFinished) ResetOnClose(socket_.get());
  if (watched_ != 0) loop().Remove(socket_.get());
  socket_.Reset();
  backlog_.Clear();
  context_.owner.Closed(*this);
}

Outcome StreamRelay::outcome() const {
  const auto to_peer = static_cast<double>(to_peer_), to_socket = static_cast<double>(to_socket_);
  return {reason_, static_cast<uint32_t>(error_), is_outbound() ? to_peer : to_socket,
          is_outbound() ? to_socket : to_peer, static_cast<double>(closed_us_ - accepted_us_) / 1000};
}

}  // namespace weft::core
