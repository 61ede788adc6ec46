#include "backlog.h"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace weft::core {

void Backlog::Append(std::span<const std::byte> bytes) {
  if (last_ != nullptr) {
    const size_t fits = std::min<size_t>(last_->capacity - last_->end, bytes.size());
    memcpy(last_->bytes.get() + last_->end, bytes.data(), fits);
    last_->end += static_cast<uint32_t>(fits);
    bytes = bytes.subspan(fits);
  }
  if (bytes.empty()) return;
  const auto size = static_cast<uint32_t>(bytes.size());
  const auto capacity = static_cast<uint32_t>(std::max(kLeastBlock, bytes.size()));
  auto block =
      std::make_unique<Block>(Block{nullptr, std::make_unique_for_overwrite<std::byte[]>(capacity), 0, size, capacity});
  memcpy(block->bytes.get(), bytes.data(), size);
  Block* const added = block.get();
  (last_ != nullptr ? last_->next : first_) = std::move(block);
  last_ = added;
}

ssize_t Backlog::SendTo(int socket) {
  iovec parts[kBlocksPerCall];
  size_t count = 0;
  for (Block* block = first_.get(); block != nullptr && count < kBlocksPerCall; block = block->next.get()) {
    parts[count++] = {block->bytes.get() + block->begin, block->end - block->begin};
  }
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = count;
  const ssize_t sent = sendmsg(socket, &message, MSG_NOSIGNAL);
  if (sent > 0) Taken(static_cast<size_t>(sent));
  return sent;
}

void Backlog::Taken(size_t bytes) {
  while (bytes > 0) {
    const size_t part = std::min<size_t>(bytes, first_->end - first_->begin);
    first_->begin += static_cast<uint32_t>(part);
    bytes -= part;
    if (first_->begin < first_->end) return;
    first_ = std::exchange(first_->next, nullptr);
  }
  if (first_ == nullptr) last_ = nullptr;
}

// One after the other: blocks that end with each other would need as much stack as there are blocks.
void Backlog::Clear() {
  while (first_ != nullptr) first_ = std::exchange(first_->next, nullptr);
  last_ = nullptr;
}

}  // namespace weft::core
