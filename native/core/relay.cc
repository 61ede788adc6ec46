#include "relay.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "dial.h"

namespace weft::core {
namespace {

// Edge-triggered and added once. EPOLLOUT joins when a write blocks for the first time; EPOLLIN is away while the other
// side is blocked, or every segment that arrives would wake the loop for nothing.
constexpr uint32_t kEvents = EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLET;
constexpr uint32_t kDefaultConnectTimeoutMs = 10'000;
constexpr int kMaxDialAttempts = 4;

// Closing then sends RST: socket(7), SO_LINGER.
void ResetOnClose(int socket) {
  const linger abort{.l_onoff = 1, .l_linger = 0};
  if (socket >= 0) setsockopt(socket, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
}

int64_t Microseconds(uint32_t ms) { return int64_t{ms} * 1000; }

}  // namespace

Relay::Relay(RelayContext& context, const Identity& identity, Descriptor client)
    : context_(context), identity_(identity), accepted_us_(context.loop.now_us()) {
  client_.relay = upstream_.relay = this;
  client_.socket = std::move(client);
}

void Relay::Start(const Decision& decision) {
  if (decision.action != Action::kRelayToApp && decision.action != Action::kRelayOut) {
    return Close(CloseReason::kRefused, 0);
  }
  state_ = State::kWaiting;
  destination_ = {decision.destination_address, static_cast<uint16_t>(decision.destination_port)};
  restores_client_ = decision.action == Action::kRelayToApp && context_.clients.present();
  idle_timeout_ms_ = decision.idle_timeout_ms;
  const uint32_t timeout_ms = decision.connect_timeout_ms != 0 ? decision.connect_timeout_ms : kDefaultConnectTimeoutMs;
  context_.loop.Schedule(*this, context_.loop.now_us() + Microseconds(timeout_ms));
  context_.owner.Provide(*this);
}

void Relay::Supplied(Descriptor socket, SourceAddresses& sources) {
  upstream_.socket = std::move(socket);
  int error = restores_client_ ? Announce(sources) : 0;
  if (error == 0) error = Connect(upstream_.socket.get(), destination_);
  if (error == 0) return Connected();
  if (error == EINPROGRESS) return Connecting();
  // The place is taken by a connection to the same app (TIME_WAIT, a worker of an older generation): a bound socket
  // cannot be bound anew, so another one tries the next.
  if (restores_client_ && (error == EADDRNOTAVAIL || error == EADDRINUSE) && ++attempts_ < kMaxDialAttempts) {
    Withdraw();
    upstream_.socket.Reset();
    return context_.owner.Provide(*this);
  }
  Close(CloseReason::kConnectFailed, error);
}

// Before connect(): the kernel takes the entry when the app's socket is established.
int Relay::Announce(SourceAddresses& sources) {
  Endpoint source;
  if (const int error = BindSource(upstream_.socket.get(), sources, &source); error != 0) return error;
  announced_key_ = ClientKey(source, destination_);
  const Endpoint client{identity_.remote_address, static_cast<uint16_t>(identity_.remote_port)};
  const int error = context_.clients.Announce(announced_key_, ClientValue(client));
  announced_ = error == 0;
  return error;
}

void Relay::Withdraw() {
  if (std::exchange(announced_, false)) context_.clients.Withdraw(announced_key_);
}

void Relay::Connecting() {
  state_ = State::kConnecting;
  if (!Watch(upstream_, kEvents | EPOLLOUT)) Close(CloseReason::kError, errno);
}

// The client is read before it is watched: what it said is mostly there already.
void Relay::Connected() {
  state_ = State::kRelaying;
  announced_ = false;
  moved_us_ = context_.loop.now_us();
  if (idle_timeout_ms_ != 0) {
    const int64_t due = moved_us_ + Microseconds(idle_timeout_ms_);
    if (due < TimerWheel::DeadlineUs(*this)) context_.loop.Schedule(*this, due);
  }
  if (upstream_.watched == 0 && !Watch(upstream_, kEvents)) return Close(CloseReason::kError, errno);
  Advance(client_);
  if (!closed() && client_.watched == 0 && !Watch(client_, kEvents)) Close(CloseReason::kError, errno);
}

bool Relay::Watch(Side& side, uint32_t events) {
  if (side.watched == events) return true;
  const bool added = side.watched != 0;
  if (added) {
    context_.loop.Modify(side.socket.get(), events, side);
  } else if (!context_.loop.TryAdd(side.socket.get(), events, side)) {
    return false;
  }
  side.watched = events;
  return true;
}

void Relay::SideReady(Side& side, uint32_t events) {
  if (state_ == State::kConnecting) return ConnectionReady(events);
  if (state_ != State::kRelaying) return;
  if ((events & ~(EPOLLIN | EPOLLOUT)) != 0) side.outgoing.ReadToEnd();
  Side& other = Other(side);
  if ((events & EPOLLOUT) != 0 && other.outgoing.state() == Flow::State::kBlocked) Advance(other);
  if ((events & ~EPOLLOUT) != 0 && !closed() && side.outgoing.state() != Flow::State::kBlocked) Advance(side);
  // Reading told the error, after the bytes before it, unless the other side does not take them.
  if ((events & EPOLLERR) != 0 && !closed()) Failed(side, SocketError(side.socket.get(), ECONNRESET));
}

void Relay::ConnectionReady(uint32_t events) {
  if ((events & (EPOLLERR | EPOLLHUP)) != 0) {
    return Close(CloseReason::kConnectFailed, SocketError(upstream_.socket.get(), ECONNREFUSED));
  }
  if ((events & EPOLLOUT) == 0) return;
  Connected();
  // What came with the handshake's end gives no edge of its own.
  if ((events & EPOLLIN) != 0 && state_ == State::kRelaying) SideReady(upstream_, events);
}

void Relay::Advance(Side& from) {
  if (from.finished) return;
  Side& to = Other(from);
  const uint64_t before = from.outgoing.bytes();
  const Flow::State state =
      from.outgoing.Pump(context_.transport, from.socket.get(), to.socket.get(), context_.loop.now_us());
  if (from.outgoing.bytes() != before) moved_us_ = context_.loop.now_us();
  switch (state) {
    case Flow::State::kWaiting:
      if (from.watched != 0) Watch(from, from.watched | EPOLLIN);
      break;
    case Flow::State::kBlocked:
      if (from.watched != 0) Watch(from, from.watched & ~EPOLLIN);
      Watch(to, to.watched | EPOLLOUT);
      break;
    case Flow::State::kBusy:
      context_.loop.Defer(*this);
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
        to.outgoing.Pump(context_.transport, to.socket.get(), from.socket.get(), context_.loop.now_us());
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
  if (context_.loop.now_us() >= due) return Close(CloseReason::kIdleTimeout, ETIMEDOUT);
  context_.loop.Schedule(*this, due);
}

void Relay::Close(CloseReason reason, int error) {
  if (closed()) return;
  state_ = State::kClosed;
  reason_ = reason;
  error_ = error;
  closed_us_ = context_.loop.now_us();
  Task::Unlink();
  Timer::Unlink();
  SocketWaiter::Unlink();
  Withdraw();
  for (Side* side : {&client_, &upstream_}) {
    side->outgoing.Drop(context_.transport.pipes);
    if (reason != CloseReason::kFinished) ResetOnClose(side->socket.get());
  }
  // The broker may not have closed its duplicate of a supplied socket yet; nobody has one of an accepted socket.
  if (upstream_.watched != 0) context_.loop.Remove(upstream_.socket.get());
  client_.socket.Reset();
  upstream_.socket.Reset();
  context_.owner.Closed(*this);
}

Outcome Relay::outcome() const {
  return {reason_, static_cast<uint32_t>(error_), static_cast<double>(client_.outgoing.bytes()),
          static_cast<double>(upstream_.outgoing.bytes()), static_cast<double>(closed_us_ - accepted_us_) / 1000};
}

}  // namespace weft::core
