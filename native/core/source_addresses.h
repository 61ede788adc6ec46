// From where the agent dials an app: addresses and ports of the SOURCE block (bpf/weft.h).
#pragma once

#include "address.h"

namespace weft::core {

// Walks the part of the block that belongs to one worker, for one pod and family. Workers of a generation have disjoint
// parts. A worker begins anywhere, so that its successor rarely meets its connections in TIME_WAIT; a part has at least
// 193,000 places.
class SourceAddresses {
 public:
  SourceAddresses(uint32_t family, uint32_t slot);
  Endpoint Next();

 private:
  uint32_t family_;
  uint32_t slot_;
  uint32_t hosts_;
  uint32_t place_;
};

}  // namespace weft::core
