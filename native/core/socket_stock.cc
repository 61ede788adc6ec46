#include "socket_stock.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <utility>

#include "../broker/protocol.h"

namespace weft::core {
namespace {

constexpr int64_t kTrimUs = 10'000'000;
// Asking again so soon means that more should be kept.
constexpr int64_t kOftenUs = 20'000;

}  // namespace

SocketStock::SocketStock(EventLoop& loop, SocketSupplier& supplier, uint32_t pod, uint32_t family, uint32_t slot)
    : loop_(loop), supplier_(supplier), pod_(pod), family_(family), sources_(family, slot) {}

void SocketStock::Provide(SocketWaiter& waiter) {
  taken_++;
  target_ = std::max(target_, kFirst);
  if (!Timer::linked()) loop_.Schedule(*this, loop_.now_us() + kTrimUs);
  if (sockets_.empty()) {
    if (waiting_.empty()) waiting_count_ = 0;
    if (waiting_count_ >= kMostWaiting) CountWaiting();
    if (waiting_count_ >= kMostWaiting) return waiter.NotSupplied(EAGAIN);
    waiting_count_++;
    waiting_.PushBack(waiter);
    Refill();
    return;
  }
  Supply(waiter);
  Refill();
}

void SocketStock::CountWaiting() {
  waiting_count_ = 0;
  waiting_.ForEach([&](SocketWaiter&) { waiting_count_++; });
}

void SocketStock::Supply(SocketWaiter& waiter) {
  Descriptor socket = std::move(sockets_.back());
  sockets_.pop_back();
  waiter.Supplied(std::move(socket), sources_);
}

// Asks when half is left beside those that are awaited.
void SocketStock::Refill() {
  if (waiting_.empty()) waiting_count_ = 0;
  if (target_ == 0 || asked_ > 0 || sockets_.size() > waiting_count_ + target_ / 2) return;
  Grow();
  const uint32_t missing = target_ + waiting_count_ - static_cast<uint32_t>(sockets_.size());
  const uint32_t count = std::min<uint32_t>(missing, broker::kMaxDescriptors);
  if (supplier_.Ask(*this, count)) asked_ = count;
}

void SocketStock::Grow() {
  if (loop_.now_us() - refilled_us_ < kOftenUs) target_ = std::min(target_ * 2, kMost);
  refilled_us_ = loop_.now_us();
}

void SocketStock::Received(std::span<Descriptor> sockets, int error) {
  asked_ = 0;
  std::move(sockets.begin(), sockets.end(), std::back_inserter(sockets_));
  if (sockets.empty()) {
    // Who asks anew while being told waits for the next answer.
    List<SocketWaiter, SocketWaiter> failed;
    failed.Append(waiting_);
    while (!failed.empty()) failed.PopFront().NotSupplied(error != 0 ? error : EAGAIN);
    return;
  }
  while (!waiting_.empty() && !sockets_.empty()) {
    waiting_count_ = waiting_count_ > 0 ? waiting_count_ - 1 : 0;
    Supply(waiting_.PopFront());
  }
  Refill();
}

void SocketStock::Expired() {
  if (taken_ == 0) {
    target_ = std::max(target_ / 4, kLeast);
    if (sockets_.size() > target_) sockets_.resize(target_);
  }
  const bool rests = taken_ == 0 && target_ == kLeast;
  taken_ = 0;
  if (!rests) loop_.Schedule(*this, loop_.now_us() + kTrimUs);
}

}  // namespace weft::core
