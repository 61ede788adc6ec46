// Sockets that are born in a pod's network namespace. A socket keeps the namespace it was made in for life, so the
// thread is there only for the moment of making it (setns(2), CAP_SYS_ADMIN).
#pragma once

#include <cstdint>
#include <vector>

#include "descriptor.h"

namespace weft::broker {

// Both return 0 or an errno; on an error no socket is left.

// Listeners of all families on one port from 61000 to 65535 that nobody uses and that is not in `avoided`.
int MakeListeners(int netns, bool ipv6, uint32_t count, const std::vector<uint16_t>& avoided,
                  std::vector<Descriptor>* listeners, uint16_t* port);
int MakeSockets(int netns, bool ipv6, uint32_t count, std::vector<Descriptor>* sockets);

}  // namespace weft::broker
