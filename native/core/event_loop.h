// One epoll descriptor for everything. It becomes readable when there is work, so any other loop (a test's) can drive
// this one: poll descriptor(), call Turn(). Or this one waits for the other, too (libuv's): WatchOther(), then Wait()
// and Turn(), which costs one system call where the former costs four.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
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
  // CLOCK_MONOTONIC, read once per batch, and after each Wait().
  int64_t now_us() const { return now_us_; }

  // Handles what is ready, or what Wait() has found, and returns without waiting, after a bounded number of batches in
  // any case.
  void Turn();

  // Of a loop that nobody else waits for: until there is something for Turn(), for so long at most; -1: for ever.
  // false: there is nothing.
  bool Wait(int timeout_ms);
  // Another loop's descriptor: while it is readable, nobody waits.
  void WatchOther(int fd) { Add(fd, EPOLLIN, other_); }
  // It was readable in a turn since this was asked last.
  bool TakeOther() { return std::exchange(other_.ready, false); }

  // All but TryAdd(), which leaves errno, throw std::system_error. Adding can fail for want of resources: epoll_ctl(2),
  // ENOSPC.
  bool TryAdd(int fd, uint32_t events, Watcher& watcher);
  void Add(int fd, uint32_t events, Watcher& watcher);
  void Modify(int fd, uint32_t events, Watcher& watcher);
  // Closing is not enough for a descriptor that another process may hold a duplicate of: epoll(7), questions 6 and 7.
  void Remove(int fd);

  // Runs the task after the events of this batch, or after the tasks that are there if it is called from a task; in the
  // next batch outside of Turn(), and where tasks go on making tasks.
  void Defer(Task& task);
  // As Defer(), but before the tasks of that: for what makes work for them.
  void DeferFirst(Task& task);
  void Schedule(Timer& timer, int64_t deadline_us);
  void Retire(std::unique_ptr<Retired> object);

 private:
  static constexpr int kEventsPerBatch = 256;

  struct Other final : Watcher {
    void Ready(uint32_t /*events*/) override { ready = true; }
    bool ready = false;
  };

  void Ready(uint32_t events) override;
  void ReadClock();
  void Arm(int64_t deadline_us);
  bool HasTasks() const { return !first_.empty() || !tasks_.empty(); }
  void Wake();
  static void RunAll(List<Task, Task>& of);
  bool Handle(int count);

  Descriptor epoll_;
  Descriptor timerfd_;
  int64_t now_us_ = 0;
  bool turning_ = false;
  bool waits_ = false;  // there is a Wait() before each turn
  int found_ = 0;       // by Wait()
  std::array<epoll_event, kEventsPerBatch> events_;
  Other other_;
  int64_t armed_us_ = TimerWheel::kNever;
  std::unique_ptr<TimerWheel> wheel_;
  List<Task, Task> first_;
  List<Task, Task> tasks_;
  std::vector<std::unique_ptr<Retired>> retired_;
};

}  // namespace weft::core
