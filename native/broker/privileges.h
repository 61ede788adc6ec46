#pragma once

namespace weft::broker {

// Keeps CAP_SYS_ADMIN (setns(2)) and CAP_NET_ADMIN (IP_TRANSPARENT, ip(7)) and gives up everything else for good, also
// in children. Returns false with errno.
bool KeepOnlyNeededCapabilities();

}  // namespace weft::broker
