#include "socket_stream.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "../dial.h"
#include "../socket_calls.h"

namespace weft::core::http {
namespace {

constexpr size_t kBytesPerTurn = 512 * 1024;
constexpr size_t kPartsPerCall = 64;
// To copy so much costs less than to have the kernel gather it.
constexpr size_t kMostCopied = 2048;

}  // namespace

SocketStream::SocketStream(EventLoop& loop, std::span<char> buffer, Descriptor socket, Holders holders)
    : ByteStream(loop), buffer_(buffer), socket_(std::move(socket)), holders_(holders) {}

bool SocketStream::Watch(bool watched) {
  uint32_t events = Dial::kEvents;
  if (watches_room_) events |= EPOLLOUT;
  if (watched) {
    loop_.Modify(socket_.get(), events, *this);
  } else if (!loop_.TryAdd(socket_.get(), events, *this)) {
    return false;
  }
  return watched_ = true;
}

void SocketStream::Ready(uint32_t events) {
  if (closed_) return;  // an event of the batch in which it was closed
  if ((events & ~(EPOLLIN | EPOLLOUT)) != 0) read_to_end_ = true;
  if ((events & ~EPOLLOUT) != 0) readable_ = true;
  if ((events & EPOLLOUT) != 0 && !kept_.empty()) {
    Flush();
    if (write_error_ == 0 && kept_.empty()) events_->Drained();
  }
  if (closed_) return;
  if ((events & (EPOLLERR | EPOLLHUP)) != 0 && paused_ && fails_early_) {
    return Fail(SocketError(socket_.get(), ECONNRESET));
  }
  Advance();
}

// A socket is read before it is watched: what the client said is mostly there already.
void SocketStream::Run() {
  if (closed_) return;
  if (write_error_ != 0 && fails_early_) return Fail(write_error_);
  Advance();
  if (!closed_ && !watched_ && !Watch(false)) Fail(errno);
}

// A short read has emptied the socket, unless there is more to say than bytes (tcp(7)).
void SocketStream::Read() {
  for (size_t turn = 0; readable_ && !paused_ && unread_.empty();) {
    if (turn >= kBytesPerTurn) return loop_.Defer(*this);
    const ssize_t got = ReceiveFrom(socket_.get(), buffer_.data(), buffer_.size());
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return Fail(errno);
      readable_ = false;
      if (write_error_ != 0) Fail(write_error_);
      return;
    }
    const auto size = static_cast<size_t>(got);
    if (size == 0) {
      readable_ = false;
      if (write_error_ != 0) return Fail(write_error_);
      ended_ = true;
      return;
    }
    if (size < buffer_.size() && !read_to_end_ && write_error_ == 0) readable_ = false;
    received_ += size;
    turn += size;
    Deliver({buffer_.data(), size});
    if (closed_) return;
  }
}

bool SocketStream::IsQuiet() const { return !readable_ && !has_unread() && (!ended_ || end_told_); }

bool SocketStream::IsAlive() const {
  if (!IsQuiet() || write_error_ != 0) return false;
  char byte;
  return recv(socket_.get(), &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
}

void SocketStream::Write(std::span<const std::string_view> parts) {
  if (closed_ || write_error_ != 0) return;
  size_t sent = 0;
  if (kept_.empty()) {
    const ssize_t put = Send(parts);
    if (put < 0 && errno != EAGAIN && errno != EINTR) return WriteFailed(errno);
    sent = put > 0 ? static_cast<size_t>(put) : 0;
    sent_ += sent;
  }
  for (const std::string_view part : parts) {
    const size_t gone = std::min(sent, part.size());
    sent -= gone;
    if (gone < part.size()) kept_.Append(std::as_bytes(std::span(part.substr(gone))));
  }
  if (kept_.empty() || watches_room_) return;
  watches_room_ = true;
  if (watched_) loop_.Modify(socket_.get(), Dial::kEvents | EPOLLOUT, *this);
}

ssize_t SocketStream::Send(std::span<const std::string_view> parts) {
  if (parts.size() == 1) return SendTo(socket_.get(), parts[0].data(), parts[0].size(), MSG_NOSIGNAL);
  char copied[kMostCopied];
  iovec pieces[kPartsPerCall];
  const size_t count = std::min(parts.size(), kPartsPerCall);
  size_t size = 0;
  for (size_t i = 0; i < count; i++) {
    pieces[i] = {const_cast<char*>(parts[i].data()), parts[i].size()};
    if (size + parts[i].size() <= kMostCopied) memcpy(copied + size, parts[i].data(), parts[i].size());
    size += parts[i].size();
  }
  if (size <= kMostCopied) return SendTo(socket_.get(), copied, size, MSG_NOSIGNAL);
  msghdr message{};
  message.msg_iov = pieces;
  message.msg_iovlen = count;
  return sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
}

void SocketStream::Flush() {
  while (!kept_.empty()) {
    const ssize_t put = kept_.SendTo(socket_.get());
    if (put < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) WriteFailed(errno);
      return;
    }
    sent_ += static_cast<uint64_t>(put);
  }
  if (finishing_) Finish();
}

// What the peer said before is still to be read, and tells more than this error.
void SocketStream::WriteFailed(int error) {
  write_error_ = error;
  kept_.Clear();
  readable_ = true;
  loop_.Defer(*this);
}

void SocketStream::Finish() {
  if (closed_ || write_error_ != 0) return;
  finishing_ = !kept_.empty();
  if (!finishing_) shutdown(socket_.get(), SHUT_WR);
}

void SocketStream::Close(bool reset) {
  if (std::exchange(closed_, true)) return;
  Task::Unlink();
  if (reset) ResetOnClose(socket_.get());
  // A socket that nobody else has leaves the loop when it is closed.
  if (watched_ && holders_ == Holders::kOthersToo) loop_.Remove(socket_.get());
  socket_.Reset();
  kept_.Clear();
}

}  // namespace weft::core::http
