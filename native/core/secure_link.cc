#include "secure_link.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "dial.h"

namespace weft::core {
namespace {

// EPOLLOUT costs nothing while the socket takes everything: the kernel reports it only after it has refused something
// (sock_writeable(), SOCK_NOSPACE).
constexpr uint32_t kEvents = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;

constexpr int kMostDrains = 16;

}  // namespace

void SecureLink::Accept(std::shared_ptr<const tls::Context> context, tls::Buffers& buffers, Descriptor socket,
                        const tls::Protocols& protocols, int64_t deadline_us) {
  socket_ = std::move(socket);
  tls_ = tls::Connection::Accept(std::move(context), buffers, socket_.get(), protocols);
  Begin(false, deadline_us);
}

void SecureLink::Connect(std::shared_ptr<const tls::Context> context, tls::Buffers& buffers, Descriptor socket,
                         bool watched, const tls::Protocols& protocols, const std::string& expected_name,
                         int64_t deadline_us) {
  socket_ = std::move(socket);
  tls_ = tls::Connection::Connect(std::move(context), buffers, socket_.get(), protocols, expected_name);
  Begin(watched, deadline_us);
}

void SecureLink::Begin(bool watched, int64_t deadline_us) {
  loop_.Schedule(*this, deadline_us);
  if (watched) {
    loop_.Modify(socket_.get(), kEvents, *this);
  } else if (!loop_.TryAdd(socket_.get(), kEvents, *this)) {
    return Fail({tls::Reason::kSystem, errno});
  }
  watched_ = true;
  Shake();
}

void SecureLink::Ready(uint32_t events) {
  if (!tls_) return;  // an event of the batch in which it was closed
  if ((events & ~(EPOLLIN | EPOLLOUT)) != 0) tls_->ReadToEnd();
  if (!established_) return Shake();
  if ((events & EPOLLOUT) != 0 && tls_->wants_write()) {
    switch (tls_->Flush()) {
      case tls::Status::kFailed:
        return Fail(tls_->failure());
      case tls::Status::kWantsWrite:
        break;
      default:
        events_->Writable();
    }
  }
  if ((events & ~EPOLLOUT) != 0 && tls_) events_->Readable();
}

void SecureLink::Shake() {
  switch (tls_->Handshake()) {
    case tls::Status::kDone:
      break;
    case tls::Status::kWantsRead:
    case tls::Status::kWantsWrite:
      return;
    default:
      return Fail(tls_->failure());
  }
  established_ = true;
  Timer::Unlink();
  events_->Established();
  // What came with the handshake's end gives no edge of its own.
  if (tls_) events_->Readable();
}

void SecureLink::Expired() { Fail({tls::Reason::kSystem, ETIMEDOUT}); }

void SecureLink::Fail(const tls::Failure& failure) {
  const tls::Failure kept = failure;
  // RST would overtake the alert that tells the peer why; unread bytes would make close() send one.
  if (kept.reason != tls::Reason::kSystem) DrainUnread();
  Close(kept.reason == tls::Reason::kSystem);
  events_->LinkFailed(kept);
}

void SecureLink::DrainUnread() {
  established_ = false;  // nothing more is said than the alert
  shutdown(socket_.get(), SHUT_WR);
  std::byte ignored[4096];
  for (int i = 0; i < kMostDrains && recv(socket_.get(), ignored, sizeof ignored, 0) > 0; i++) {
  }
}

void SecureLink::Close(bool reset) {
  Timer::Unlink();
  if (tls_ && established_ && !reset) tls_->Shutdown();
  tls_.reset();
  if (!socket_) return;
  if (std::exchange(watched_, false)) loop_.Remove(socket_.get());
  if (reset) ResetOnClose(socket_.get());
  socket_.Reset();
}

}  // namespace weft::core
