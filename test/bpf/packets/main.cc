// packets-test OBJECT [name part]: runs frames through the kernel's programs. Needs root.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "../../../native/test/check.h"
#include "kernel.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: packets-test OBJECT [name part]\n");
    return 2;
  }
  weft::test::object_file = argv[1];
  const char* part = argc > 2 ? argv[2] : "";
  setvbuf(stdout, nullptr, _IOLBF, 0);
  alarm(120);
  weft::test::BecomePod();
  int number = 0, failed = 0;
  for (const weft::test::Test& test : weft::test::Tests()) {
    if (strstr(test.name, part) == nullptr) continue;
    number++;
    try {
      test.run();
      printf("ok %d - %s\n", number, test.name);
    } catch (const std::exception& error) {
      printf("not ok %d - %s\n  %s\n", number, test.name, error.what());
      failed++;
    }
  }
  printf("1..%d\n", number);
  return failed == 0 ? 0 : 1;
}
