#include "client_sessions.h"

#include <iterator>
#include <utility>

namespace weft::core::tls {
namespace {

// As many as a pool opens at once to one destination.
constexpr size_t kPerKey = 4;

bool IsGood(const ClientSessions::Entry& entry, int64_t now) {
  return now < entry.good_until && now < entry.peer_not_after && SSL_SESSION_is_resumable(entry.session.get()) == 1;
}

}  // namespace

void ClientSessions::Add(const std::string& key, Entry entry) {
  if (limit_ == 0) return;
  if (order_.size() >= limit_) Remove(order_.begin());
  if (const auto found = by_key_.find(key); found != by_key_.end() && found->second.size() >= kPerKey) {
    Remove(found->second.back());
  }
  order_.push_back({key, std::move(entry)});
  by_key_[key].push_front(std::prev(order_.end()));
}

ClientSessions::Entry ClientSessions::Take(const std::string& key, int64_t now) {
  for (auto found = by_key_.find(key); found != by_key_.end(); found = by_key_.find(key)) {
    const Order::iterator newest = found->second.front();
    Entry entry = std::move(newest->entry);
    Remove(newest);
    if (IsGood(entry, now)) return entry;
  }
  return {};
}

void ClientSessions::Remove(Order::iterator stored) {
  const auto found = by_key_.find(stored->key);
  found->second.remove(stored);
  if (found->second.empty()) by_key_.erase(found);
  order_.erase(stored);
}

}  // namespace weft::core::tls
