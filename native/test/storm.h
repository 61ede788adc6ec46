#pragma once

#include <cstdint>

namespace weft::test {

// How many connections the randomized test makes.
extern uint32_t storm_connections;

}  // namespace weft::test
