#include "tunnel.h"

#include <netinet/tcp.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

namespace weft::core {
namespace {

constexpr uint32_t kDefaultConnectTimeoutMs = 10'000;
// A peer that uses a connection for so many times longer than we would is asked for another one.
constexpr int64_t kAgesServed = 2;
// An agent that has ended is followed by another one. Until then SYNs are dropped, and the kernel would repeat them
// later and later; what reaches it as it ends is refused.
constexpr int64_t kDialUs = 1'000'000;
constexpr int64_t kRefusedUs = 100'000;
constexpr uint32_t kMostRefusals = 3;
// Streams that the peer has opened before it hears GOAWAY come within this time.
constexpr int64_t kGoAwayUs = 5'000'000;
// The client closes what is not used. A server that did so at the same time would reset streams that are on their way.
constexpr int64_t kIdleTimesOfServer = 3;
constexpr uint32_t kMostStreams = 200;
// A stream that has moved so much is bulk: others shall not wait behind it.
constexpr uint64_t kBulkBytes = 1024 * 1024;
constexpr size_t kBytesPerTurn = 1024 * 1024;
// What opening a stream counts for in a turn: a decision and a dial, for 44 bytes.
constexpr size_t kBytesPerOpening = 4096;

bool IsRefusal(int error) { return error == ECONNRESET || error == ECONNREFUSED || error == EPIPE; }

int ErrnoOf(weft1::ErrorCode code) { return code == weft1::ErrorCode::kRefused ? ECONNREFUSED : ECONNRESET; }

}  // namespace

const tls::Protocols Tunnel::kProtocols = {"weft/1"};

class Tunnel::Stream final : public PeerStream {
 public:
  Stream(Tunnel& tunnel, weft1::Stream& stream) : tunnel_(tunnel), stream_(stream) { stream.context = this; }

  std::span<std::byte> Reserve() override { return tunnel_.session_.Reserve(stream_); }
  void Commit(size_t bytes) override {
    tunnel_.session_.Commit(stream_, bytes);
    Count(bytes);
  }
  void Consumed(size_t bytes) override {
    tunnel_.session_.Consumed(stream_, bytes, tunnel_.loop().now_us());
    Count(bytes);
  }
  void Finish() override { tunnel_.session_.Finish(stream_); }
  void HandOver(PeerStreamEvents& to) override { events = &to; }
  void Reset() override {
    tunnel_.session_.Reset(stream_, weft1::ErrorCode::kReset);
    tunnel_.Ended(this);
  }
  void Release() override {
    tunnel_.session_.Release(stream_);
    tunnel_.Ended(this);
  }

  PeerStreamEvents* events = nullptr;

 private:
  void Count(size_t bytes) {
    moved_ += bytes;
    if (moved_ > kBulkBytes) tunnel_.carries_bulk_ = true;
  }

  Tunnel& tunnel_;
  weft1::Stream& stream_;
  uint64_t moved_ = 0;
};

Tunnel::Tunnel(const TunnelContext& context, const TunnelKey& key, weft1::Role role)
    : context_(context),
      key_(key),
      role_(role),
      dial_(context.dial, *this),
      session_(role, {}, *this),
      idle_us_(int64_t{context.idle_ms} * 1000 * (role == weft1::Role::kServer ? kIdleTimesOfServer : 1)),
      max_age_us_(int64_t{context.max_age_ms} * 1000),
      born_us_(loop().now_us()),
      used_us_(born_us_) {}

Tunnel::~Tunnel() { Close(CloseReason::kShutdown, 0); }

void Tunnel::Connect(std::shared_ptr<const tls::Context> credentials, const std::string& expected_name,
                     uint32_t timeout_ms) {
  credentials_ = std::move(credentials);
  expected_name_ = expected_name;
  timeout_us_ = int64_t{timeout_ms != 0 ? timeout_ms : kDefaultConnectTimeoutMs} * 1000;
  Try();
}

void Tunnel::Try() {
  loop().Schedule(*this, loop().now_us() + std::min(kDialUs, timeout_us_));
  dial_.Start(key_.pod, key_.peer, nullptr);
}

void Tunnel::DialFailed(int error) {
  if (!IsRefusal(error) || ++refusals_ > kMostRefusals) return Close(CloseReason::kConnectFailed, error);
  loop().Schedule(*this, loop().now_us() + kRefusedUs);
}

void Tunnel::Dialed(Descriptor socket, bool watched) {
  GiveUpDeadPeer(socket.get());
  const int64_t deadline_us = loop().now_us() + timeout_us_;
  loop().Schedule(*this, deadline_us);
  SecureLinkEvents& events = *this;
  link_ = std::make_unique<SecureLink>(loop(), events);
  link_->Connect(credentials_, context_.buffers, std::move(socket), watched, kProtocols, expected_name_, deadline_us);
}

void Tunnel::Serve(const Identity& identity, std::unique_ptr<SecureLink> link) {
  identity_ = identity;
  link_ = std::move(link);
  GiveUpDeadPeer(link_->socket());
  link_->HandOver(*this);
  Established();
}

// Of no other connection: an app may leave its window shut for as long as it likes, which counts as silence here (the
// kernel's tcp_probe_timer()). A tunnel's peer always reads.
void Tunnel::GiveUpDeadPeer(int socket) {
  setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &context_.peer_timeout_ms, sizeof context_.peer_timeout_ms);
}

void Tunnel::Established() {
  established_ = true;
  credentials_.reset();
  loop().Schedule(*this, loop().now_us() + idle_us_);
  loop().Defer(*this);
  while (!waiting_.empty() && !closed_) {
    StreamWaiter& waiter = waiting_.PopFront();
    if (!OpenNow(waiter)) waiter.NotOpened(CloseReason::kConnectFailed, EAGAIN);
  }
  waiting_count_ = 0;
}

void Tunnel::Open(StreamWaiter& waiter) {
  if (!established_) {
    waiting_count_++;
    return waiting_.PushBack(waiter);
  }
  if (!OpenNow(waiter)) waiter.NotOpened(CloseReason::kConnectFailed, EAGAIN);
}

bool Tunnel::OpenNow(StreamWaiter& waiter) {
  used_us_ = loop().now_us();
  weft1::Stream* const opened = session_.Open(waiter.request());
  if (opened == nullptr) return false;
  auto* stream = new Stream(*this, *opened);
  stream->events = &waiter.Opened(*stream, born_us_);
  stream->events->Began();
  return true;
}

bool Tunnel::TakesStreams() const {
  return !closed_ && !retired_ && !carries_bulk_ && session_.open_streams() + waiting_count_ < kMostStreams &&
         session_.can_open() && loop().now_us() - born_us_ < max_age_us_;
}

void Tunnel::Retire() {
  if (role_ == weft1::Role::kServer) {
    if (!closed_) session_.GoAway();
    return;
  }
  retired_ = true;
  CloseIfUnused();
}

void Tunnel::GoAway() {
  if (!closed_) session_.GoAway(loop().now_us() + kGoAwayUs);
}

bool Tunnel::IsPeerExpired() const { return time(nullptr) >= link_->tls().peer().not_after; }

void Tunnel::Readable() {
  must_read_ = false;
  for (size_t turn = 0; turn < kBytesPerTurn && !closed_;) {
    const tls::Moved moved = link_->tls().Read(context_.received);
    turn += moved.bytes;
    opened_ = 0;
    if (moved.bytes > 0) {
      const weft1::ErrorCode error = session_.Receive(context_.received.first(moved.bytes), loop().now_us());
      if (closed_) return;
      if (error != weft1::ErrorCode::kNone) return Close(CloseReason::kError, EPROTO);
    }
    turn += opened_ * kBytesPerOpening;
    switch (moved.status) {
      case tls::Status::kDone:
        // Messages of TLS alone were most of what was received: enough for this turn.
        if (moved.bytes < context_.received.size()) turn = kBytesPerTurn;
        break;
      case tls::Status::kWantsRead:
      case tls::Status::kWantsWrite:
        return;
      case tls::Status::kEnded:
        return Close(CloseReason::kResetByUpstream, 0);
      case tls::Status::kFailed:
        return LinkFailed(link_->tls().failure());
    }
  }
  if (closed_) return;
  must_read_ = true;
  loop().Defer(*this);
}

void Tunnel::Writable() { Flush(); }

// What all streams have ready goes out together, after the events of the batch.
void Tunnel::Run() {
  if (closed_ || !established_) return;
  if (must_read_) Readable();
  if (!closed_) Flush();
}

void Tunnel::Flush() {
  while (!closed_ && !session_.output().empty() && !link_->tls().wants_write()) {
    const std::span<const std::byte> output = session_.output();
    const tls::Moved moved = link_->tls().Write(std::span(&output, 1));
    if (moved.status == tls::Status::kFailed) return LinkFailed(link_->tls().failure());
    if (moved.bytes == 0) return;
    session_.Written(moved.bytes);
  }
}

void Tunnel::LinkFailed(const tls::Failure& failure) {
  if (!established_ && failure.reason == tls::Reason::kSystem) return DialFailed(failure.detail);
  if (failure.reason == tls::Reason::kSystem) return Close(CloseReason::kResetByUpstream, failure.detail);
  Close(CloseReason::kTlsFailed, static_cast<int>(failure.reason));
}

void Tunnel::OnOpen(weft1::Stream& opened, const weft1::OpenRequest& request) {
  used_us_ = loop().now_us();
  opened_++;
  if (used_us_ - born_us_ >= kAgesServed * max_age_us_ || IsPeerExpired()) GoAway();
  auto* stream = new Stream(*this, opened);
  PeerStreamEvents* const events = context_.owner.StreamOpened(*this, *stream, request);
  if (closed_) return;  // by the decision, and the stream with it
  stream->events = events;
  if (events != nullptr) return stream->events->Began();
  session_.Reset(opened, weft1::ErrorCode::kRefused);
  delete stream;
}

void Tunnel::OnData(weft1::Stream& stream, std::span<const std::byte> bytes) {
  static_cast<Stream*>(stream.context)->events->Arrived(bytes);
}

void Tunnel::OnRoom(weft1::Stream& stream) { static_cast<Stream*>(stream.context)->events->HasRoom(); }

void Tunnel::OnFin(weft1::Stream& stream) { static_cast<Stream*>(stream.context)->events->PeerFinished(); }

void Tunnel::OnReset(weft1::Stream& stream, weft1::ErrorCode code) {
  const std::unique_ptr<Stream> gone(static_cast<Stream*>(std::exchange(stream.context, nullptr)));
  // The peer holds streams that are closed here, until its apps have read them: the next ones go elsewhere.
  if (code == weft1::ErrorCode::kTooManyStreams) retired_ = true;
  gone->events->PeerReset(ErrnoOf(code));
  if (closed_) return;
  loop().Schedule(*this, loop().now_us() + idle_us_);
}

void Tunnel::OnGoAway() {
  Retire();
  session_.ForEach([](weft1::Stream& stream) { static_cast<Stream*>(stream.context)->events->PeerLeaves(); });
}

void Tunnel::Ended(Stream* stream) {
  delete stream;
  used_us_ = loop().now_us();
  CloseIfUnused();
}

// Not at once: this may be called from inside of the session.
void Tunnel::CloseIfUnused() {
  if (retired_ && role_ == weft1::Role::kClient && !closed_ && session_.open_streams() == 0 && waiting_.empty()) {
    loop().Schedule(*this, loop().now_us());
  }
}

void Tunnel::Expired() {
  if (!established_) {
    if (waiting_.empty() || (link_ && link_->open())) return Close(CloseReason::kConnectTimeout, ETIMEDOUT);
    dial_.Cancel();
    return Try();
  }
  const bool unused = session_.open_streams() == 0 && waiting_.empty();
  if (unused && (retired_ || loop().now_us() - used_us_ >= idle_us_)) return Close(CloseReason::kFinished, 0);
  session_.FreeMemory();
  loop().Schedule(*this, loop().now_us() + idle_us_);
}

void Tunnel::Close(CloseReason reason, int error) {
  if (std::exchange(closed_, true)) return;
  Task::Unlink();
  Timer::Unlink();
  dial_.Cancel();
  while (!waiting_.empty()) waiting_.PopFront().NotOpened(reason, error);
  session_.EndAll([&](weft1::Stream& stream) {
    const std::unique_ptr<Stream> gone(static_cast<Stream*>(std::exchange(stream.context, nullptr)));
    if (gone && gone->events != nullptr) gone->events->PeerReset(error != 0 ? error : ECONNRESET);
  });
  if (link_) link_->Close(reason != CloseReason::kFinished);
  context_.owner.TunnelClosed(*this);
}

}  // namespace weft::core
