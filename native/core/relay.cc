#include "relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "dial.h"

namespace weft::core {
namespace {

constexpr uint32_t kDefaultConnectTimeoutMs = 10'000;

int64_t Microseconds(uint32_t ms) { return int64_t{ms} * 1000; }

}  // namespace

Relay::Relay(const RelayContext& context, const Identity& identity, int64_t accepted_us, Descriptor client)
    : Connection(identity, accepted_us), context_(context), dial_(context.dial, *this) {
  client_.relay = upstream_.relay = this;
  client_.socket = std::move(client);
}

void Relay::Start(const Decision& decision) {
  if (decision.action != Action::kRelayToApp && decision.action != Action::kRelayOut) {
    return Close(CloseReason::kRefused, 0);
  }
  idle_timeout_ms_ = decision.idle_timeout_ms;
  const uint32_t timeout_ms = decision.connect_timeout_ms != 0 ? decision.connect_timeout_ms : kDefaultConnectTimeoutMs;
  loop().Schedule(*this, loop().now_us() + Microseconds(timeout_ms));
  const Endpoint client{identity_.remote_address, static_cast<uint16_t>(identity_.remote_port)};
  const bool to_app = decision.action == Action::kRelayToApp;
  dial_.Start(to_app && decision.app_pod != 0 ? decision.app_pod : identity_.pod,
              {decision.destination_address, static_cast<uint16_t>(decision.destination_port)},
              to_app ? &client : nullptr);
}

// The client is read before it is watched: what it said is mostly there already.
void Relay::Dialed(Descriptor socket, bool watched) {
  upstream_.socket = std::move(socket);
  state_ = State::kRelaying;
  moved_us_ = loop().now_us();
  if (idle_timeout_ms_ != 0) {
    const int64_t due = moved_us_ + Microseconds(idle_timeout_ms_);
    if (due < TimerWheel::DeadlineUs(*this)) loop().Schedule(*this, due);
  }
  if (watched) {
    // Raises an event anew for what is ready already: epoll(7), ep_modify().
    loop().Modify(upstream_.socket.get(), Dial::kEvents, upstream_);
    upstream_.watched = Dial::kEvents;
  } else if (!Watch(upstream_, Dial::kEvents)) {
    return Close(CloseReason::kError, errno);
  }
  Advance(client_);
  if (!closed() && client_.watched == 0 && !Watch(client_, Dial::kEvents)) Close(CloseReason::kError, errno);
}

bool Relay::Watch(Side& side, uint32_t events) {
  if (side.watched == events) return true;
  const bool added = side.watched != 0;
  if (added) {
    loop().Modify(side.socket.get(), events, side);
  } else if (!loop().TryAdd(side.socket.get(), events, side)) {
    return false;
  }
  side.watched = events;
  return true;
}

void Relay::SideReady(Side& side, uint32_t events) {
  if (state_ != State::kRelaying) return;
  if ((events & ~(EPOLLIN | EPOLLOUT)) != 0) side.outgoing.ReadToEnd();
  Side& other = Other(side);
  if ((events & EPOLLOUT) != 0 && other.outgoing.state() == Flow::State::kBlocked) Advance(other);
  if ((events & ~EPOLLOUT) != 0 && !closed() && side.outgoing.state() != Flow::State::kBlocked) Advance(side);
  // Reading told the error, after the bytes before it, unless the other side does not take them.
  if ((events & EPOLLERR) != 0 && !closed()) Failed(side, SocketError(side.socket.get(), ECONNRESET));
}

void Relay::Advance(Side& from) {
  if (from.finished) return;
  Side& to = Other(from);
  const uint64_t before = from.outgoing.bytes();
  const Flow::State state = from.outgoing.Pump(context_.transport, from.socket.get(), to.socket.get(), loop().now_us());
  if (from.outgoing.bytes() != before) moved_us_ = loop().now_us();
  switch (state) {
    case Flow::State::kWaiting:
      if (from.watched != 0) Watch(from, from.watched | EPOLLIN);
      break;
    case Flow::State::kBlocked:
      if (from.watched != 0) Watch(from, from.watched & ~EPOLLIN);
      Watch(to, to.watched | EPOLLOUT);
      break;
    case Flow::State::kBusy:
      loop().Defer(*this);
      break;
    case Flow::State::kEnded:
      PassFin(from);
      break;
    case Flow::State::kSourceFailed:
      Failed(from, from.outgoing.error());
      break;
    case Flow::State::kDestinationFailed:
      // What the side said before it reset is still readable.
      if (!to.finished && to.outgoing.state() != Flow::State::kBlocked) {
        to.outgoing.Pump(context_.transport, to.socket.get(), from.socket.get(), loop().now_us());
      }
      Failed(to, from.outgoing.error());
      break;
  }
}

void Relay::PassFin(Side& from) {
  from.finished = true;
  Side& to = Other(from);
  if (to.finished) return Close(CloseReason::kFinished, 0);
  if (shutdown(to.socket.get(), SHUT_WR) != 0) Failed(to, SocketError(to.socket.get(), errno));
}

void Relay::Failed(Side& side, int error) {
  Close(&side == &client_ ? CloseReason::kResetByClient : CloseReason::kResetByUpstream, error);
}

void Relay::Run() {
  for (Side* side : {&client_, &upstream_}) {
    if (state_ == State::kRelaying && side->outgoing.state() == Flow::State::kBusy) Advance(*side);
  }
}

// Bytes that move do not touch the timer: it looks when it expires.
void Relay::Expired() {
  if (state_ != State::kRelaying) return Close(CloseReason::kConnectTimeout, ETIMEDOUT);
  if (idle_timeout_ms_ == 0) return;
  const int64_t due = moved_us_ + Microseconds(idle_timeout_ms_);
  if (loop().now_us() >= due) return Close(CloseReason::kIdleTimeout, ETIMEDOUT);
  loop().Schedule(*this, due);
}

void Relay::Close(CloseReason reason, int error) {
  if (closed()) return;
  state_ = State::kClosed;
  reason_ = reason;
  error_ = error;
  closed_us_ = loop().now_us();
  Task::Unlink();
  Timer::Unlink();
  dial_.Cancel();
  for (Side* side : {&client_, &upstream_}) {
    side->outgoing.Drop(context_.transport.pipes);
    if (reason != CloseReason::kFinished) ResetOnClose(side->socket.get());
  }
  // The broker may not have closed its duplicate of a supplied socket yet; nobody has one of an accepted socket.
  if (upstream_.watched != 0) loop().Remove(upstream_.socket.get());
  client_.socket.Reset();
  upstream_.socket.Reset();
  context_.owner.Closed(*this);
}

Outcome Relay::outcome() const {
  return {reason_, static_cast<uint32_t>(error_), static_cast<double>(client_.outgoing.bytes()),
          static_cast<double>(upstream_.outgoing.bytes()), static_cast<double>(closed_us_ - accepted_us_) / 1000};
}

}  // namespace weft::core
