// The tests and the benchmark of TLS as a Node addon, to run them with the OpenSSL that Node exports.
// node -e "process.dlopen({exports: {}}, 'tls-in-node.node')"; WEFT_TLS_BENCH=1 runs the benchmark instead.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "../check.h"
#include "bench.h"

namespace weft::test {
namespace {

int RunTests() {
  int failed = 0, number = 0;
  for (const Test& test : Tests()) {
    number++;
    try {
      test.run();
      printf("ok %d - %s\n", number, test.name);
    } catch (const std::exception& error) {
      failed++;
      printf("not ok %d - %s\n  %s\n", number, test.name, error.what());
    }
  }
  printf("1..%d\n", number);
  return failed;
}

}  // namespace
}  // namespace weft::test

extern "C" __attribute__((visibility("default"))) void* napi_register_module_v1(void*, void* exports) {
  if (getenv("WEFT_TLS_BENCH") != nullptr) {
    weft::test::RunTlsBench();
  } else if (weft::test::RunTests() != 0) {
    fflush(stdout);
    _exit(1);
  }
  fflush(stdout);
  return exports;
}
