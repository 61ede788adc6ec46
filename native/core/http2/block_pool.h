// Memory of a thread's sessions. Every request takes the same blocks, in nghttp2 above all, and gives them back: they
// are kept for the next, where malloc would look for them each time.
#pragma once

#include <array>
#include <cstddef>
#include <memory>

// Where every block is watched, none is used again.
#if defined(__SANITIZE_ADDRESS__)
#define WEFT_WATCHED_BLOCKS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEFT_WATCHED_BLOCKS 1
#endif
#endif

namespace weft::core::http2 {

class BlockPool {
 public:
  // Sessions keep theirs alive.
  static std::shared_ptr<BlockPool> OfThisThread();
  ~BlockPool();

  // As malloc(), free() and realloc() do it.
  void* Take(size_t size);
  void Give(void* block);
  void* Resize(void* block, size_t size);

 private:
  static constexpr size_t kGrain = 64;
  static constexpr size_t kClasses = 16;
#if defined(WEFT_WATCHED_BLOCKS)
  static constexpr size_t kMostFree = 0;
#else
  static constexpr size_t kMostFree = 256;  // of a class: 2 MB in all
#endif

  struct alignas(std::max_align_t) Header {
    size_t size_class;  // kClasses: it is larger than any
  };
  struct Free {
    Free* next;
  };
  struct Class {
    Free* first = nullptr;
    size_t count = 0;
  };

  static size_t RoomOf(size_t size_class) { return (size_class + 1) * kGrain - sizeof(Header); }

  std::array<Class, kClasses> classes_;
};

}  // namespace weft::core::http2
