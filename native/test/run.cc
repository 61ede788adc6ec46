#include "run.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "check.h"

namespace weft::test {
namespace {

constexpr unsigned kSecondsOfOneTest = 120;

int OpenDescriptors() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) count++;
  closedir(folder);
  return count;
}

bool Run(const Test& test, int number) {
  const int before = OpenDescriptors();
  alarm(kSecondsOfOneTest);
  try {
    test.run();
    CHECK_EQUAL(OpenDescriptors(), before);
    printf("ok %d - %s\n", number, test.name);
    return true;
  } catch (const Skip& skip) {
    printf("ok %d - %s # SKIP %s\n", number, test.name, skip.why.c_str());
    return true;
  } catch (const std::exception& error) {
    printf("not ok %d - %s\n  %s\n", number, test.name, error.what());
    return false;
  }
}

}  // namespace

int RunTests(const char* part) {
  signal(SIGPIPE, SIG_IGN);  // as Node does; splice(2) cannot ask for MSG_NOSIGNAL
  setvbuf(stdout, nullptr, _IOLBF, 0);
  int number = 0, failed = 0;
  for (const Test& test : Tests()) {
    if (strstr(test.name, part) != nullptr && !Run(test, ++number)) failed++;
  }
  alarm(0);
  printf("1..%d\n", number);
  return failed;
}

}  // namespace weft::test
