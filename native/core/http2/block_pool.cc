#include "block_pool.h"

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace weft::core::http2 {

std::shared_ptr<BlockPool> BlockPool::OfThisThread() {
  static thread_local const std::shared_ptr<BlockPool> pool = std::make_shared<BlockPool>();
  return pool;
}

BlockPool::~BlockPool() {
  for (Class& of : classes_) {
    while (Free* const block = of.first) {
      of.first = block->next;
      free(reinterpret_cast<Header*>(block) - 1);
    }
  }
}

void* BlockPool::Take(size_t size) {
  const size_t size_class = (size + sizeof(Header) + kGrain - 1) / kGrain - 1;
  const bool pooled = size_class < kClasses;
  if (pooled && classes_[size_class].first != nullptr) {
    Class& of = classes_[size_class];
    of.count--;
    return std::exchange(of.first, of.first->next);
  }
  auto* const header = static_cast<Header*>(malloc(pooled ? (size_class + 1) * kGrain : size + sizeof(Header)));
  if (header == nullptr) return nullptr;
  header->size_class = pooled ? size_class : kClasses;
  return header + 1;
}

void BlockPool::Give(void* block) {
  if (block == nullptr) return;
  Header* const header = static_cast<Header*>(block) - 1;
  if (header->size_class == kClasses || classes_[header->size_class].count == kMostFree) return free(header);
  Class& of = classes_[header->size_class];
  of.count++;
  of.first = new (block) Free{of.first};
}

void* BlockPool::Resize(void* block, size_t size) {
  if (block == nullptr) return Take(size);
  Header* const header = static_cast<Header*>(block) - 1;
  if (header->size_class == kClasses) {
    auto* const larger = static_cast<Header*>(realloc(header, size + sizeof(Header)));
    return larger == nullptr ? nullptr : larger + 1;
  }
  const size_t room = RoomOf(header->size_class);
  if (size <= room) return block;
  void* const larger = Take(size);
  if (larger == nullptr) return nullptr;
  memcpy(larger, block, room);
  Give(block);
  return larger;
}

}  // namespace weft::core::http2
