#pragma once

namespace weft::test {

// Runs the tests whose names contain the part and prints TAP. How many failed.
int RunTests(const char* part);

}  // namespace weft::test
