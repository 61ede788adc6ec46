#include "pending.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "dial.h"
#include "http/detect.h"
#include "tls/client_hello.h"

namespace weft::core {
namespace {

constexpr int kMostReadsBeforeAlert = 4;  // a large ClientHello and a record of early data, twice

}  // namespace

FirstBytes LookAt(const Descriptor& socket, const PendingContext& context, Identity& identity) {
  const ssize_t size = recv(socket.get(), context.buffer.data(), context.buffer.size(), MSG_PEEK);
  if (size < 0) return {size, std::nullopt};
  if (size == 0) return {size, Detected::kPlaintext};  // FIN: the server may have something to say all the same
  const auto bytes = context.buffer.first(static_cast<size_t>(size));
  const auto hello = tls::ParseClientHello(bytes);
  switch (hello.state) {
    case tls::ClientHello::State::kNeedMore:
      break;
    case tls::ClientHello::State::kNotTls:
      return {size, http::Detect(bytes)};
    case tls::ClientHello::State::kInvalid:
      return {size, Detected::kTlsRefused};
    case tls::ClientHello::State::kParsed:
      identity.server_name = context.names.Find(hello.server_name);
      context.server_name.assign(hello.server_name);
      return {size, Detected::kTls};
  }
  return {size, std::nullopt};
}

Pending::Pending(const PendingContext& context, const Identity& identity, int64_t accepted_us, Descriptor client)
    : Connection(identity, accepted_us), context_(context), client_(std::move(client)) {}

void Pending::Classify(uint32_t timeout_ms) {
  classifying_ = true;
  context_.loop.Schedule(*this, context_.loop.now_us() + int64_t{timeout_ms} * 1000);
  Ready(0);
}

void Pending::Hold(uint32_t timeout_ms) {
  context_.loop.Schedule(*this, context_.loop.now_us() + int64_t{timeout_ms} * 1000);
}

Descriptor Pending::TakeSocket() {
  Timer::Unlink();
  if (std::exchange(watched_, false)) context_.loop.Remove(client_.get());
  return std::move(client_);
}

// The bytes stay in the socket: whoever takes the connection on reads them as if nobody had looked.
void Pending::Ready(uint32_t events) {
  if (!client_) return;  // an event of the batch in which it ended
  const auto [size, detected] = LookAt(client_, context_, identity_);
  if (size < 0 && errno != EAGAIN) return Close(CloseReason::kResetByClient, errno);
  if (detected) return Classified(*detected);
  if (size > 0 && (events & (EPOLLRDHUP | EPOLLHUP)) != 0) return Classified(Detected::kPlaintext);  // nothing follows
  if (!std::exchange(watched_, true) && !context_.loop.TryAdd(client_.get(), EPOLLIN | EPOLLRDHUP | EPOLLET, *this)) {
    watched_ = false;
    Close(CloseReason::kError, errno);
  }
}

void Pending::Expired() {
  if (classifying_) return Classified(Detected::kTimeout);
  Close(CloseReason::kConnectTimeout, ETIMEDOUT);
}

void Pending::Classified(Detected detected) {
  identity_.detected = detected;
  context_.classifier.Classified(*this);
}

void Pending::EndWithAlert(uint8_t alert) {
  if (!client_) return;
  // Bytes left unread would turn the FIN into a RST, which may overtake the alert.
  const auto read = [&] { return recv(client_.get(), context_.buffer.data(), context_.buffer.size(), MSG_DONTWAIT); };
  if (read() <= 0) return Close(CloseReason::kRefused, 0);
  for (int reads = 1; reads < kMostReadsBeforeAlert && read() > 0; reads++) continue;
  const std::array<uint8_t, 7> record = {21, 3, 3, 0, 2, 2, alert};  // alert, of TLS 1.2 on the wire, fatal
  if (send(client_.get(), record.data(), record.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    return Close(CloseReason::kRefused, 0);
  }
  Finish(CloseReason::kRefused, 0);
}

void Pending::Close(CloseReason reason, int error) {
  if (!client_) return;
  ResetOnClose(client_.get());
  Finish(reason, error);
}

void Pending::Finish(CloseReason reason, int error) {
  reason_ = reason;
  error_ = error;
  TakeSocket();
  context_.owner.Closed(*this);
}

Outcome Pending::outcome() const {
  const int64_t lasted_us = context_.loop.now_us() - accepted_us_;
  return {reason_, static_cast<uint32_t>(error_), 0, 0, static_cast<double>(lasted_us) / 1000};
}

}  // namespace weft::core
