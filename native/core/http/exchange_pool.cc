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
  exchange->Reset(ids_.Next([this](std::vector<uint32_t>& used) {
    open_.ForEach([&](const Exchange& open) { used.push_back(open.id()); });
  }));
  open_.PushBack(*exchange);
  return *exchange.release();
}

void ExchangePool::Ask(Exchange& exchange) {
  asked_.PushBack(exchange);
  shared_.loop.DeferFirst(asker_);
}

// What is told of one may end another of them; nothing is used again meanwhile. What is to be asked about meanwhile has
// its turn afterwards.
void ExchangePool::AskAll() {
  if (std::exchange(is_asking_, true)) return;
  while (!asked_.empty()) {
    std::vector<Exchange*> exchanges = std::move(showing_);
    exchanges.clear();
    while (!asked_.empty() && exchanges.size() < shared_.records.size()) {
      Exchange& exchange = asked_.PopFront();
      exchange.Show(shared_.records[exchanges.size()]);
      exchanges.push_back(&exchange);
    }
    showing_ = std::move(exchanges);
    shown_ = 0;
    shared_.decisions->OnRequests(shared_.records.first(showing_.size()));
    exchanges = std::move(showing_);
    for (size_t i = 0; i < exchanges.size(); i++) {
      if (!exchanges[i]->ended()) exchanges[i]->Decide(RequestDecision(shared_.records[i].decision));
    }
    showing_ = std::move(exchanges);
    showing_.clear();
  }
  is_asking_ = false;
}

HeadView ExchangePool::shown() const {
  return shown_ < showing_.size() && !showing_[shown_]->ended() ? showing_[shown_]->shown() : HeadView();
}

std::unique_ptr<HeldHead> ExchangePool::TakeHead() {
  if (free_heads_.empty()) return std::make_unique<HeldHead>();
  std::unique_ptr<HeldHead> head = std::move(free_heads_.back());
  free_heads_.pop_back();
  return head;
}

void ExchangePool::GiveBack(std::unique_ptr<HeldHead> head) {
  const bool is_large = head->text.capacity() + head->http2.text_size() > kMostOfHeadKept;
  if (!is_large && free_heads_.size() < kMostFreeHeads) free_heads_.push_back(std::move(head));
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
