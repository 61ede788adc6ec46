#include "exchange_pool.h"

#include <utility>

#include "exchange.h"
#include "shared.h"

namespace weft::core::http {

ExchangePool::ExchangePool(Shared& shared) : shared_(shared) {}

// Whose exchanges are open has closed before.
ExchangePool::~ExchangePool() = default;

Exchange& ExchangePool::Take() {
  std::unique_ptr<Exchange> exchange;
  if (free_.empty()) {
    exchange = std::make_unique<Exchange>(shared_);
  } else {
    exchange = std::move(free_.back());
    free_.pop_back();
  }
  exchange->Reset(++last_);
  open_.PushBack(*exchange);
  return *exchange.release();
}

void ExchangePool::GiveBack(Exchange& exchange) {
  exchange.Link<Exchange>::Unlink();
  held_.erase(exchange.id());
  ended_.emplace_back(&exchange);
  shared_.loop.Defer(*this);
}

void ExchangePool::Run() {
  for (const Resumed& resumed : std::exchange(resumed_, {})) {
    if (resumed.exchange->Link<Exchange>::linked()) resumed.exchange->ResumeWith(resumed.decision);
  }
  for (std::unique_ptr<Exchange>& exchange : ended_) {
    exchange->FreeMemory();
    if (free_.size() < kMostFree) free_.push_back(std::move(exchange));
  }
  ended_.clear();
}

void ExchangePool::Hold(Exchange& exchange) { held_.emplace(exchange.id(), &exchange); }

void ExchangePool::Unhold(Exchange& exchange) { held_.erase(exchange.id()); }

bool ExchangePool::Resume(uint32_t exchange, const RequestDecision& decision) {
  const auto found = held_.find(exchange);
  if (found == held_.end()) return false;
  resumed_.push_back({found->second, decision});
  held_.erase(found);
  shared_.loop.Defer(*this);
  return true;
}

// What is told of one may end another of them; nothing is used again meanwhile.
void ExchangePool::Revoke(uint32_t upstream_context) {
  std::vector<Exchange*> revoked;
  open_.ForEach([&](Exchange& exchange) {
    if (exchange.is_forwarded() && exchange.upstream_context() == upstream_context) revoked.push_back(&exchange);
  });
  for (Exchange* exchange : revoked) {
    if (exchange->Link<Exchange>::linked()) exchange->Revoke();
  }
}

}  // namespace weft::core::http
