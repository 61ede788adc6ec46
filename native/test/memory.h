// What is allocated at the moment, where that can be told.
#pragma once

#include <malloc.h>

#include <cstddef>

namespace weft::test {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCountsMemory = false;  // the sanitizer's allocator keeps no such count
#else
constexpr bool kCountsMemory = true;
#endif

inline size_t Held() {
  const struct mallinfo2 memory = mallinfo2();
  return memory.uordblks + memory.hblkhd;
}

}  // namespace weft::test
