// All tests, and the benchmark of TLS, as a Node addon: node -e "process.dlopen({exports: {}}, 'engine-test.node')".
// WEFT_TEST is a part of the names of the tests that run; WEFT_TLS_BENCH=1 runs the benchmark instead.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "run.h"
#include "tls/bench.h"

extern "C" __attribute__((visibility("default"))) void* napi_register_module_v1(void*, void* exports) {
  const char* part = getenv("WEFT_TEST");
  if (getenv("WEFT_TLS_BENCH") != nullptr) {
    weft::test::RunTlsBench();
  } else if (weft::test::RunTests(part == nullptr ? "" : part) != 0) {
    fflush(stdout);
    _exit(1);
  }
  fflush(stdout);
  return exports;
}
