// broker-test BINARY [name part]: runs the tests whose names contain the part against that weft-broker. Needs root.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "../../test/check.h"
#include "running_broker.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: broker-test BINARY [name part]\n");
    return 2;
  }
  weft::broker::test::broker_binary = argv[1];
  const char* part = argc > 2 ? argv[2] : "";
  setvbuf(stdout, nullptr, _IOLBF, 0);
  alarm(180);
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
