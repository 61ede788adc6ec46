// Exchanges are used again: in the steady state a request allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "../event_loop.h"
#include "../list.h"
#include "request_record.h"

namespace weft::core::http {

struct Shared;
class Exchange;

class ExchangePool final : private Task {
 public:
  explicit ExchangePool(Shared& shared);
  ~ExchangePool();

  Exchange& Take();
  // Methods of the exchange may still be running: it is used again after this batch of events.
  void GiveBack(Exchange& exchange);

  void Hold(Exchange& exchange);
  void Unhold(Exchange& exchange);
  // Soon, as this may be called by a decision on another one. false: it is not held (any more).
  bool Resume(uint32_t exchange, const RequestDecision& decision);
  // Ends those that were forwarded with this context.
  void Revoke(uint32_t upstream_context);

 private:
  static constexpr size_t kMostFree = 1024;

  struct Resumed {
    Exchange* exchange;
    RequestDecision decision;
  };

  void Run() override;

  Shared& shared_;
  List<Exchange, Exchange> open_;
  std::vector<std::unique_ptr<Exchange>> ended_;
  std::vector<std::unique_ptr<Exchange>> free_;
  std::unordered_map<uint32_t, Exchange*> held_;
  std::vector<Resumed> resumed_;
  uint32_t last_ = 0;
};

}  // namespace weft::core::http
