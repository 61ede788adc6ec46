// Sessions that servers offered for resumption. Each is used once (RFC 8446, appendix C.4), the newest first; what is
// unused longest goes first when there are too many.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <string>
#include <string_view>
#include <unordered_map>

#include "handles.h"

namespace weft::core::tls {

class ClientSessions {
 public:
  struct Entry {
    Session session;
    int64_t peer_not_after = 0;
    int64_t good_until = 0;
  };

  explicit ClientSessions(size_t limit) : limit_(limit) {}

  // The key names all that must be the same: source identity, destination identity, anchors.
  void Add(const std::string& key, Entry entry);
  // Without a session: there is none that is still good.
  Entry Take(const std::string& key, int64_t now);
  size_t size() const { return order_.size(); }

 private:
  struct Stored {
    std::string key;
    Entry entry;
  };
  using Order = std::list<Stored>;  // the oldest first

  void Remove(Order::iterator stored);

  const size_t limit_;
  Order order_;
  std::unordered_map<std::string, std::list<Order::iterator>> by_key_;  // the newest first
};

}  // namespace weft::core::tls
