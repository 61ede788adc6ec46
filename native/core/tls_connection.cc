#include "tls_connection.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace weft::core {
namespace {

constexpr int64_t kHandshakeUs = 10'000'000;
constexpr size_t kBytesPerTurn = 1024 * 1024;

}  // namespace

const tls::Protocols TlsConnection::kProtocols = {"weft/1", "http/1.1"};

TlsConnection::TlsConnection(const TlsConnectionContext& context, const Identity& identity, int64_t accepted_us)
    : Connection(identity, accepted_us), context_(context) {}

void TlsConnection::Accept(std::shared_ptr<const tls::Context> credentials, Descriptor client) {
  Handshakes& handshakes = context_.handshakes;
  if (handshakes.count >= handshakes.most) handshakes.open.front().Close(CloseReason::kConnectTimeout, ETIMEDOUT);
  handshakes.open.PushBack(*this);
  handshakes.count++;
  SecureLinkEvents& events = *this;
  link_ = std::make_unique<SecureLink>(context_.loop, events);
  link_->Accept(std::move(credentials), context_.buffers, std::move(client), kProtocols,
                context_.loop.now_us() + kHandshakeUs);
}

void TlsConnection::Established() {
  Leave();
  context_.events.TlsEstablished(*this);
}

void TlsConnection::Leave() {
  if (!Link<TlsConnection>::linked()) return;
  Link<TlsConnection>::Unlink();
  context_.handshakes.count--;
}

void TlsConnection::LinkFailed(const tls::Failure& failure) {
  if (failure.reason == tls::Reason::kSystem) return Close(CloseReason::kResetByClient, failure.detail);
  Close(CloseReason::kTlsFailed, static_cast<int>(failure.reason));
}

void TlsConnection::Close(CloseReason reason, int error) {
  if (std::exchange(closed_, true)) return;
  reason_ = reason;
  error_ = error;
  Leave();
  if (link_) link_->Close(true);
  context_.owner.Closed(*this);
}

Outcome TlsConnection::outcome() const {
  const int64_t lasted_us = context_.loop.now_us() - accepted_us_;
  return {reason_, static_cast<uint32_t>(error_), 0, 0, static_cast<double>(lasted_us) / 1000};
}

TlsStream::TlsStream(const TlsConnectionContext& context, std::unique_ptr<SecureLink> link)
    : context_(context), link_(std::move(link)) {
  link_->HandOver(*this);
}

void TlsStream::Begin(PeerStreamEvents& events) {
  events_ = &events;
  events.Began();
  if (events_ == nullptr) return;
  must_read_ = true;
  context_.loop.Defer(*this);
}

void TlsStream::Readable() {
  must_read_ = false;
  for (size_t turn = 0; turn < kBytesPerTurn && events_ != nullptr;) {
    if (unconsumed_ >= kWindow) {
      must_read_ = true;
      return;
    }
    const tls::Moved moved = link_->tls().Read(context_.received);
    turn += moved.bytes;
    unconsumed_ += moved.bytes;
    if (moved.bytes > 0) events_->Arrived(context_.received.first(moved.bytes));
    if (events_ == nullptr) return;
    switch (moved.status) {
      case tls::Status::kDone:
        // Messages of TLS alone were most of what was received: enough for this turn.
        if (moved.bytes < context_.received.size()) turn = kBytesPerTurn;
        break;
      case tls::Status::kWantsRead:
      case tls::Status::kWantsWrite:
        return;
      case tls::Status::kEnded:
        return events_->PeerFinished();
      case tls::Status::kFailed:
        return LinkFailed(link_->tls().failure());
    }
  }
  if (events_ == nullptr) return;
  must_read_ = true;
  context_.loop.Defer(*this);
}

void TlsStream::Consumed(size_t bytes) {
  unconsumed_ -= bytes;
  if (must_read_ && unconsumed_ < kWindow) context_.loop.Defer(*this);
}

void TlsStream::Run() {
  if (events_ != nullptr && must_read_) Readable();
}

// One record at a time, and none while an earlier one waits for the socket.
std::span<std::byte> TlsStream::Reserve() {
  awaits_room_ = link_->tls().wants_write();
  if (awaits_room_) return {};
  return context_.sent.first(tls::Buffers::kRecordBytes);
}

// What TLS does not send at once it keeps.
void TlsStream::Commit(size_t bytes) {
  if (bytes == 0) return;
  const std::span<const std::byte> part = context_.sent.first(bytes);
  link_->tls().Write(std::span(&part, 1));
}

void TlsStream::Writable() {
  if (finishing_) return Finish();
  if (std::exchange(awaits_room_, false) && events_ != nullptr) events_->HasRoom();
}

// In turn: what is kept, close_notify, FIN. A full socket may hold up each.
void TlsStream::Finish() {
  tls::Connection& tls = link_->tls();
  if (!tls.wants_write() && !std::exchange(said_end_, true)) tls.Shutdown();
  finishing_ = tls.wants_write();
  if (!finishing_) shutdown(link_->socket(), SHUT_WR);
}

void TlsStream::LinkFailed(const tls::Failure& failure) {
  // TCP's FIN alone could have been sent by anyone: what follows the last record is cut off.
  Gone(failure.reason == tls::Reason::kSystem ? failure.detail : ECONNRESET);
}

void TlsStream::Gone(int error) {
  PeerStreamEvents* const events = std::exchange(events_, nullptr);
  if (events == nullptr) return;
  End(true);
  events->PeerReset(error);
}

void TlsStream::End(bool reset) {
  events_ = nullptr;
  Task::Unlink();
  if (!link_) return;
  link_->Close(reset);
  context_.loop.Retire(std::unique_ptr<TlsStream>(this));
}

}  // namespace weft::core
