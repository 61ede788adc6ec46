#include "wire.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../socket_calls.h"

namespace weft::core::tls {
namespace {

// More than a Write() leaves; only a peer that makes us answer (KeyUpdate) and reads nothing gets here.
constexpr size_t kMaxUnsent = 4 * Buffers::kSendBytes;

}  // namespace

const BIO_METHOD* Wire::Method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "weft");
    BIO_meth_set_read(made, [](BIO* bio, char* to, int size) {
      BIO_clear_retry_flags(bio);
      auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
      const int received = wire.Receive(to, size);
      if (received < 0 && wire.error_ == 0) BIO_set_retry_read(bio);
      return received;
    });
    BIO_meth_set_write(made, [](BIO* bio, const char* from, int size) {
      BIO_clear_retry_flags(bio);
      auto& wire = *static_cast<Wire*>(BIO_get_data(bio));
      std::vector<std::byte>& sending = wire.buffers_.sending;
      if (sending.size() + wire.unsent_.size() + static_cast<size_t>(size) > kMaxUnsent) {
        wire.error_ = ENOBUFS;
        return -1;
      }
      const auto* bytes = reinterpret_cast<const std::byte*>(from);
      sending.insert(sending.end(), bytes, bytes + size);
      return size;
    });
    BIO_meth_set_ctrl(made, [](BIO* bio, int command, long, void*) -> long {
      if (command == BIO_CTRL_EOF) return static_cast<Wire*>(BIO_get_data(bio))->ended_ ? 1 : 0;
      return command == BIO_CTRL_FLUSH ? 1 : 0;
    });
    return made;
  }();
  return method;
}

BIO* Wire::MakeBio() {
  BIO* bio = BIO_new(Method());
  if (bio == nullptr) return nullptr;
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  return bio;
}

void Wire::Begin(size_t receive_limit, size_t most) {
  receive_limit_ = std::min(receive_limit, Buffers::kReceiveBytes);
  most_ = most;
  received_ = 0;
  window_ = untaken_;
  empty_ = false;
}

void Wire::End() {
  if (window_.empty()) {
    if (!untaken_.empty()) std::vector<std::byte>().swap(untaken_);
  } else if (window_.size() != untaken_.size() || window_.data() != untaken_.data()) {
    untaken_ = std::vector<std::byte>(window_.begin(), window_.end());
  }
  window_ = {};
}

int Wire::Receive(char* to, int size) {
  if (window_.empty() && !Refill()) return ended_ ? 0 : -1;
  const size_t taken = std::min(static_cast<size_t>(size), window_.size());
  memcpy(to, window_.data(), taken);
  window_ = window_.subspan(taken);
  return static_cast<int>(taken);
}

bool Wire::Refill() {
  if (ended_ || error_ != 0 || sated() || (empty_ && !read_to_end_)) return false;
  ssize_t received;
  do {
    received = ReceiveFrom(fd_, buffers_.received.get(), receive_limit_);
  } while (received < 0 && errno == EINTR);
  if (received < 0 && errno != EAGAIN && errno != EWOULDBLOCK) error_ = errno;
  if (received == 0) ended_ = true;
  if (received <= 0) return false;
  received_ += static_cast<size_t>(received);
  empty_ = static_cast<size_t>(received) < receive_limit_;
  window_ = {buffers_.received.get(), static_cast<size_t>(received)};
  return true;
}

bool Wire::SendAll(std::span<const std::byte> bytes, size_t& sent) {
  sent = 0;
  while (sent < bytes.size()) {
    const ssize_t result = SendTo(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (result >= 0) {
      sent += static_cast<size_t>(result);
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      return true;
    } else if (errno != EINTR) {
      error_ = errno;
      return false;
    }
  }
  return true;
}

bool Wire::Flush() {
  std::vector<std::byte>& sending = buffers_.sending;
  size_t sent = 0;
  bool sound = true;
  if (!unsent_.empty()) {
    sound = SendAll(unsent_, sent);
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<ptrdiff_t>(sent));
    if (unsent_.empty()) std::vector<std::byte>().swap(unsent_);
  }
  if (sound && unsent_.empty()) {
    sound = SendAll(sending, sent);
    unsent_.assign(sending.begin() + static_cast<ptrdiff_t>(sent), sending.end());
  } else if (sound) {
    Keep();
  }
  sending.clear();
  return sound;
}

void Wire::Keep() {
  std::vector<std::byte>& sending = buffers_.sending;
  unsent_.insert(unsent_.end(), sending.begin(), sending.end());
  sending.clear();
}

}  // namespace weft::core::tls
