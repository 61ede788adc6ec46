// An input as a row of datagrams, each with what happens beside it: a byte of switches, a number of descriptors, a
// length, and the bytes.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <span>
#include <vector>

namespace weft::fuzz {

constexpr size_t kMaxSentDescriptors = 80;  // more than any receiver takes
constexpr size_t kLongDatagram = 1100;      // longer than any receiver's buffer

struct Step {
  uint8_t switches;
  size_t descriptors;
  std::vector<uint8_t> bytes;
};

class Script {
 public:
  explicit Script(std::span<const uint8_t> input) : rest_(input) {}
  bool IsEmpty() const { return rest_.size() < 3; }
  Step Next() {
    Step step{rest_[0], rest_[1] % kMaxSentDescriptors, {}};
    const size_t length = rest_[2];
    rest_ = rest_.subspan(3);
    const auto bytes = rest_.first(std::min(length, rest_.size()));
    step.bytes.assign(bytes.begin(), bytes.end());
    if (length == 0xff) step.bytes.resize(kLongDatagram);
    rest_ = rest_.subspan(bytes.size());
    return step;
  }

 private:
  std::span<const uint8_t> rest_;
};

// A header for a datagram and as many descriptors as a receiver may get or a sender sends.
class Datagram {
 public:
  Datagram(void* bytes, size_t size) : part_{bytes, size} {
    header_.msg_iov = &part_;
    header_.msg_iovlen = 1;
    header_.msg_control = control_;
    header_.msg_controllen = sizeof control_;
  }
  void Attach(int descriptor, size_t count) {
    header_.msg_controllen = count == 0 ? 0 : CMSG_SPACE(count * sizeof(int));
    if (count == 0) return;
    cmsghdr* rights = CMSG_FIRSTHDR(&header_);
    *rights = {.cmsg_len = CMSG_LEN(count * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    for (size_t i = 0; i < count; i++) memcpy(CMSG_DATA(rights) + i * sizeof(int), &descriptor, sizeof descriptor);
  }
  std::vector<int> Descriptors() {
    std::vector<int> result;
    const cmsghdr* rights = CMSG_FIRSTHDR(&header_);
    if (rights == nullptr) return result;
    result.resize((rights->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(result.data(), CMSG_DATA(rights), result.size() * sizeof(int));
    return result;
  }
  msghdr* header() { return &header_; }

 private:
  iovec part_;
  msghdr header_{};
  alignas(cmsghdr) std::byte control_[CMSG_SPACE(kMaxSentDescriptors * sizeof(int))] = {};
};

inline ptrdiff_t OpenDescriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}

}  // namespace weft::fuzz
