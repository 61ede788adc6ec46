#include "pipe_pool.h"

#include <fcntl.h>
#include <unistd.h>

namespace weft::core {
namespace {

// Smaller ones cost more than copying does.
constexpr int kLeastBytes = 64 * 1024;
constexpr int64_t kRetryUs = 1'000'000;

void Close(Pipe pipe) {
  close(pipe.read);
  close(pipe.write);
}

// Past pipe-user-pages-soft, which all workers share, a process without CAP_SYS_RESOURCE may not enlarge pipes (EPERM)
// and gets new ones of two pages: pipe(7).
bool Enlarge(const Pipe& pipe, int bytes) {
  for (; bytes >= kLeastBytes; bytes /= 4) {
    if (fcntl(pipe.write, F_SETPIPE_SZ, bytes) >= 0) return true;
  }
  return fcntl(pipe.write, F_GETPIPE_SZ) >= kLeastBytes;
}

}  // namespace

PipePool::~PipePool() {
  for (const Pipe& pipe : idle_) Close(pipe);
}

Pipe PipePool::Borrow(int64_t now_us) {
  if (!idle_.empty()) {
    const Pipe pipe = idle_.back();
    idle_.pop_back();
    return pipe;
  }
  if (existing_ == limit_ || now_us < retry_us_) return {};
  const Pipe pipe = Make();
  if (pipe) {
    existing_++;
  } else {
    retry_us_ = now_us + kRetryUs;
  }
  return pipe;
}

Pipe PipePool::Make() {
  int ends[2];
  if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return {};
  const Pipe pipe{ends[0], ends[1]};
  if (Enlarge(pipe, static_cast<int>(bytes_))) return pipe;
  Close(pipe);
  return {};
}

void PipePool::Return(Pipe pipe) { idle_.push_back(pipe); }

void PipePool::Discard(Pipe pipe) {
  Close(pipe);
  existing_--;
}

}  // namespace weft::core
