// Memory of HTTP/2 sessions.
#include "../core/http2/block_pool.h"

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "check.h"
#include "memory.h"

namespace weft::test {
namespace {

using core::http2::BlockPool;

struct Block {
  unsigned char* bytes;
  size_t size;
  unsigned char filler;
};

bool IsIntact(const Block& block, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (block.bytes[i] != block.filler) return false;
  }
  return true;
}

TEST("block pool: blocks of any size are one's own, keep what is in them, and are aligned") {
  BlockPool pool;
  std::mt19937 random(1);
  std::vector<Block> blocks;
  for (int i = 0; i < 20'000; i++) {
    const size_t size = random() % 8 == 0 ? random() % 20'000 : random() % 1200;
    if (blocks.size() < 500) {
      const Block block{static_cast<unsigned char*>(pool.Take(size)), size, static_cast<unsigned char>(i)};
      CHECK(reinterpret_cast<uintptr_t>(block.bytes) % alignof(std::max_align_t) == 0);
      memset(block.bytes, block.filler, size);
      blocks.push_back(block);
      continue;
    }
    Block& block = blocks[random() % blocks.size()];
    if (random() % 2 == 0) {
      block.bytes = static_cast<unsigned char*>(pool.Resize(block.bytes, size));
      CHECK(IsIntact(block, std::min(size, block.size)));
      block.size = size;
      memset(block.bytes, block.filler, size);
    } else {
      CHECK(IsIntact(block, block.size));
      pool.Give(block.bytes);
      block = blocks.back();
      blocks.pop_back();
    }
  }
  for (const Block& block : blocks) {
    CHECK(IsIntact(block, block.size));
    pool.Give(block.bytes);
  }
  pool.Give(nullptr);
  pool.Give(pool.Resize(nullptr, 10));
}

TEST("block pool: what is kept for later is bounded, and given back with the pool") {
  const size_t before = Held();
  {
    BlockPool pool;
    std::vector<void*> blocks;
    for (size_t i = 0; i < 100'000; i++) blocks.push_back(pool.Take(i % 1100));
    for (void* block : blocks) pool.Give(block);
    blocks.clear();
    blocks.shrink_to_fit();
    if (kCountsMemory) CHECK(Held() < before + (3u << 20));
  }
  if (kCountsMemory) CHECK(Held() < before + (64u << 10));
}

}  // namespace
}  // namespace weft::test
