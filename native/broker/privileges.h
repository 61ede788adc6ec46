#pragma once

namespace weft::broker {

// Keeps CAP_SYS_ADMIN (setns(2)) and CAP_NET_ADMIN (IP_TRANSPARENT, ip(7)) and gives up everything else for good, also
// in children. bpf(2) asks for no more on a map that was opened by others. Throws std::system_error.
void GiveUpCapabilities();

}  // namespace weft::broker
