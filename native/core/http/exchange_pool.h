// Exchanges are used again: in the steady state a request allocates nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "../event_loop.h"
#include "../id_sequence.h"
#include "../list.h"
#include "head_view.h"
#include "request_record.h"

namespace weft::core::http {

struct Shared;
class Exchange;
struct AskedLink;
struct HeldHead;

class ExchangePool final : private Task {
 public:
  explicit ExchangePool(Shared& shared);
  ~ExchangePool();

  Exchange& Take();
  // Methods of the exchange may still be running: it is used again after this batch of events.
  void GiveBack(Exchange& exchange);

  // Decisions are asked about it, after the events of this batch.
  void Ask(Exchange& exchange);
  // Or now.
  void AskNow() { asker_.Run(); }
  // Which of those that decisions are being asked about shown() is; at any other time it is nothing.
  void Show(size_t request) { shown_ = request; }
  HeadView shown() const;
  // For one that waits for its decision.
  std::unique_ptr<HeldHead> TakeHead();
  void GiveBack(std::unique_ptr<HeldHead> head);

  void Hold(Exchange& exchange);
  void Unhold(Exchange& exchange);
  // Soon, as this may be called by a decision on another one. false: it is not held (any more).
  bool Resume(uint32_t exchange, const RequestDecision& decision);
  // Ends those that were forwarded with this context.
  void Revoke(uint32_t upstream_context);

 private:
  static constexpr size_t kMostFree = 1024;
  static constexpr size_t kMostFreeHeads = 64;
  static constexpr size_t kMostOfHeadKept = 16 * 1024;

  struct Asker final : Task {
    explicit Asker(ExchangePool& owner) : pool(owner) {}
    void Run() override { pool.AskAll(); }
    ExchangePool& pool;
  };

  struct Resumed {
    Exchange* exchange;
    RequestDecision decision;
  };

  void Run() override;
  void AskAll();

  Shared& shared_;
  Asker asker_{*this};
  List<Exchange, AskedLink> asked_;
  std::vector<Exchange*> showing_;  // those that decisions are being asked about
  size_t shown_ = 0;
  bool is_asking_ = false;
  std::vector<std::unique_ptr<HeldHead>> free_heads_;
  List<Exchange, Exchange> open_;
  std::vector<std::unique_ptr<Exchange>> ended_;
  std::vector<std::unique_ptr<Exchange>> free_;
  std::unordered_map<uint32_t, Exchange*> held_;
  std::vector<Resumed> resumed_;
  IdSequence ids_;
};

}  // namespace weft::core::http
