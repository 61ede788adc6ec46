// engine-test-sanitized [--connections N] [name part]
#include <cstdlib>
#include <cstring>

#include "run.h"
#include "storm.h"

int main(int argc, char** argv) {
  const char* part = "";
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--connections") == 0 && i + 1 < argc) {
      weft::test::storm_connections = static_cast<uint32_t>(atoi(argv[++i]));
    } else {
      part = argv[i];
    }
  }
  return weft::test::RunTests(part) == 0 ? 0 : 1;
}
