// The SOCKHASH `listeners`, from which sk_lookup takes the socket that a SYN is given to.
#pragma once

#include <cstdint>

#include "descriptor.h"

namespace weft::broker {

class ListenerMap {
 public:
  void Set(Descriptor map) { map_ = std::move(map); }
  // Returns 0 or an errno.
  int Put(uint32_t pod, uint32_t worker, int listener) const;
  void Delete(uint32_t pod, uint32_t worker) const;

 private:
  Descriptor map_;
};

}  // namespace weft::broker
