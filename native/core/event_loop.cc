#include "event_loop.h"

#include <sys/timerfd.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace weft::core {
namespace {

constexpr int kBatchesPerTurn = 4;
constexpr int kRoundsPerBatch = 2;

[[noreturn]] void ThrowErrno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

}  // namespace

EventLoop::EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  if (!epoll_) ThrowErrno("epoll_create1");
  timerfd_.Reset(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timerfd_) ThrowErrno("timerfd_create");
  ReadClock();
  wheel_ = std::make_unique<TimerWheel>(now_us_);
  Add(timerfd_.get(), EPOLLIN, *this);
}

bool EventLoop::Wait(int timeout_ms) {
  waits_ = true;
  found_ = epoll_wait(epoll_.get(), events_.data(), kEventsPerBatch, HasTasks() ? 0 : timeout_ms);
  ReadClock();
  return found_ > 0 || HasTasks();
}

void EventLoop::Turn() {
  turning_ = true;
  if (waits_) {
    Handle(std::exchange(found_, 0));
  } else {
    for (int batch = 0; batch < kBatchesPerTurn; batch++) {
      const int count = epoll_wait(epoll_.get(), events_.data(), kEventsPerBatch, 0);
      ReadClock();
      if (!Handle(count)) break;
    }
  }
  turning_ = false;
  if (HasTasks()) {
    if (!waits_) Arm(0);
  } else if (armed_us_ == TimerWheel::kNever) {
    if (const int64_t next = wheel_->NextUs(); next != TimerWheel::kNever) Arm(next);
  }
}

// Those that are there: who defers itself again, or another one, runs later.
void EventLoop::RunAll(List<Task, Task>& of) {
  List<Task, Task> tasks;
  tasks.Append(of);
  while (!tasks.empty()) tasks.PopFront().Run();
}

// One batch. false: there was nothing to do.
bool EventLoop::Handle(int count) {
  for (int i = 0; i < count; i++) static_cast<Watcher*>(events_[i].data.ptr)->Ready(events_[i].events);
  wheel_->Advance(now_us_);
  const bool worked = count > 0 || HasTasks();
  // What a connection says that has just been accepted is read by a task, and goes out by another one.
  for (int round = 0; round < kRoundsPerBatch; round++) {
    RunAll(first_);
    RunAll(tasks_);
  }
  retired_.clear();
  return worked;
}

void EventLoop::ReadClock() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  now_us_ = time.tv_sec * INT64_C(1'000'000) + time.tv_nsec / 1000;
}

bool EventLoop::TryAdd(int fd, uint32_t events, Watcher& watcher) {
  epoll_event event{.events = events, .data = {.ptr = &watcher}};
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

void EventLoop::Add(int fd, uint32_t events, Watcher& watcher) {
  if (!TryAdd(fd, events, watcher)) ThrowErrno("epoll_ctl(EPOLL_CTL_ADD)");
}

void EventLoop::Modify(int fd, uint32_t events, Watcher& watcher) {
  epoll_event event{.events = events, .data = {.ptr = &watcher}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event) != 0) ThrowErrno("epoll_ctl(EPOLL_CTL_MOD)");
}

void EventLoop::Remove(int fd) {
  epoll_event event{};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, &event) != 0) ThrowErrno("epoll_ctl(EPOLL_CTL_DEL)");
}

void EventLoop::Defer(Task& task) {
  if (task.linked()) return;
  tasks_.PushBack(task);
  Wake();
}

void EventLoop::DeferFirst(Task& task) {
  if (task.linked()) return;
  first_.PushBack(task);
  Wake();
}

// Of a loop that others wait for, and that may be at rest.
void EventLoop::Wake() {
  if (!turning_ && !waits_ && armed_us_ != 0) Arm(0);
}

void EventLoop::Schedule(Timer& timer, int64_t deadline_us) {
  wheel_->Schedule(timer, deadline_us);
  if (const int64_t due = TimerWheel::DeadlineUs(timer); due < armed_us_) Arm(due);
}

void EventLoop::Retire(std::unique_ptr<Retired> object) { retired_.push_back(std::move(object)); }

void EventLoop::Arm(int64_t deadline_us) {
  armed_us_ = deadline_us;
  // A zero time would disarm (timerfd_settime(2)); any time in the past expires at once.
  const int64_t us = std::max<int64_t>(deadline_us, 1);
  const itimerspec time{.it_interval = {}, .it_value = {.tv_sec = us / 1'000'000, .tv_nsec = us % 1'000'000 * 1000}};
  timerfd_settime(timerfd_.get(), TFD_TIMER_ABSTIME, &time, nullptr);
}

// The timer only wakes the loop: what is due runs in every batch.
void EventLoop::Ready(uint32_t /*events*/) {
  uint64_t expirations;
  if (read(timerfd_.get(), &expirations, sizeof expirations) < 0) return;  // EAGAIN: armed anew meanwhile
  armed_us_ = TimerWheel::kNever;
}

}  // namespace weft::core
