#pragma once

#include <cstdint>

#include "sockets.h"

namespace weft::test {

// How many connections the randomized test makes.
extern uint32_t storm_connections;

// Connections of random sizes with half-closes, resets and slow readers, from one thread: clients dial the entry, the
// other ends arrive at the app's listener. Every byte is checked. Throws at the first wrong one.
void RunStorm(const Endpoint& entry, const Descriptor& app, uint32_t connections);

}  // namespace weft::test
