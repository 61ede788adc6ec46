// The skip lists as keys of an LPM trie (Documentation/bpf/map_lpm_trie.rst).
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "../../bpf/weft.h"
#include "netns.h"

namespace weft::capture {

// The fewest prefixes that cover exactly first..last (at most 30).
std::vector<skip_port_key> SkipPortKeys(uint32_t pod, direction direction, uint16_t first, uint16_t last);
skip_subnet_key SkipSubnetKey(uint32_t pod, const Address& network, uint8_t prefix_length);

}  // namespace weft::capture
