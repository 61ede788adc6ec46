// The way between OpenSSL and a socket. All connections of an engine share one buffer to receive into and one to send
// from, so that one system call moves many records and an idle connection holds none of it. What OpenSSL did not take,
// or the socket did not, stays in a buffer of the connection's own until it is gone.
#pragma once

#include <openssl/bio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace weft::core::tls {

struct Buffers {
  static constexpr size_t kReceiveBytes = 65 * 1024;  // records that hold 64 KiB
  static constexpr size_t kRecordBytes = 16 * 1024;
  static constexpr size_t kSendBytes = 64 * 1024;

  std::unique_ptr<std::byte[]> received = std::make_unique_for_overwrite<std::byte[]>(kReceiveBytes);
  std::unique_ptr<std::byte[]> record = std::make_unique_for_overwrite<std::byte[]>(kRecordBytes);
  std::vector<std::byte> sending;

  Buffers() { sending.reserve(2 * kSendBytes); }
};

class Wire {
 public:
  Wire(Buffers& buffers, int fd) : buffers_(buffers), fd_(fd) {}
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;

  // OpenSSL owns what it returns. Null: no memory.
  BIO* MakeBio();

  // Around every call of OpenSSL; the shared buffers belong to this connection between them. No more than the limit is
  // received at once, and hardly more than `most` in all.
  void Begin(size_t receive_limit, size_t most = SIZE_MAX);
  void End();

  // Sends what OpenSSL wrote. false: failed, with errno in error(). What the socket does not take yet is kept.
  bool Flush();
  // Keeps it behind what is kept already.
  void Keep();
  bool blocked() const { return !unsent_.empty(); }

  // The next reads go on until the socket is empty, even after a short one.
  void ReadToEnd() { read_to_end_ = true; }
  // Nothing is left of what was received, and the socket had no more.
  bool drained() const { return window_.empty() && empty_ && !read_to_end_; }
  // It has received the most that it should: the socket may have more.
  bool sated() const { return received_ >= most_; }
  bool ended() const { return ended_; }
  int error() const { return error_; }

 private:
  static const BIO_METHOD* Method();
  int Receive(char* to, int size);
  bool Refill();
  bool SendAll(std::span<const std::byte> bytes, size_t& sent);

  Buffers& buffers_;
  const int fd_;
  int error_ = 0;
  size_t receive_limit_ = 0;
  size_t most_ = 0;
  size_t received_ = 0;                // since Begin()
  std::span<const std::byte> window_;  // received, and not yet taken by OpenSSL
  std::vector<std::byte> untaken_;
  std::vector<std::byte> unsent_;
  bool read_to_end_ = false;
  bool empty_ = false;  // a short read says that the socket is
  bool ended_ = false;
};

}  // namespace weft::core::tls
