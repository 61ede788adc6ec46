// One epoll descriptor for everything. It becomes readable when there is work, so any other loop (libuv's, a test's)
// can drive this one: poll descriptor(), call Turn().
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "descriptor.h"
#include "list.h"
#include "timer_wheel.h"

namespace weft::core {

class Watcher {
 public:
  virtual void Ready(uint32_t events) = 0;

 protected:
  ~Watcher() = default;
};

class Task : public Link<Task> {
 public:
  virtual void Run() = 0;

 protected:
  ~Task() = default;
};

// Events of one batch may still point to what another event of it closed, so such objects live until the batch is done.
class Retired {
 public:
  virtual ~Retired() = default;
};

class EventLoop final : private Watcher {
 public:
  EventLoop();
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  int descriptor() const { return epoll_.get(); }
  // CLOCK_MONOTONIC, read once per batch.
  int64_t now_us() const { return now_us_; }

  // Handles what is ready and returns without waiting, after a bounded number of batches in any case.
  void Turn();

  // All but TryAdd(), which leaves errno, throw std::system_error. Adding can fail for want of resources: epoll_ctl(2),
  // ENOSPC.
  bool TryAdd(int fd, uint32_t events, Watcher& watcher);
  void Add(int fd, uint32_t events, Watcher& watcher);
  void Modify(int fd, uint32_t events, Watcher& watcher);
  // Closing is not enough for a descriptor that another process may hold a duplicate of: epoll(7), questions 6 and 7.
  void Remove(int fd);

  // Runs the task after the events of this batch, or in the next batch if it is called from a task or outside of
  // Turn().
  void Defer(Task& task);
  void Schedule(Timer& timer, int64_t deadline_us);
  void Retire(std::unique_ptr<Retired> object);

 private:
  void Ready(uint32_t events) override;
  void ReadClock();
  void Arm(int64_t deadline_us);
  bool Batch();

  Descriptor epoll_;
  Descriptor timerfd_;
  int64_t now_us_ = 0;
  bool turning_ = false;
  int64_t armed_us_ = TimerWheel::kNever;
  std::unique_ptr<TimerWheel> wheel_;
  List<Task, Task> tasks_;
  std::vector<std::unique_ptr<Retired>> retired_;
};

}  // namespace weft::core
