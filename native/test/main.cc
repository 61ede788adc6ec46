// engine-test [--connections N] [name part]: runs the tests whose names contain the part.
#include <dirent.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "check.h"
#include "storm.h"

namespace weft::test {
namespace {

constexpr unsigned kTotalSeconds = 300;

int OpenDescriptors() {
  int count = 0;
  DIR* folder = opendir("/proc/self/fd");
  while (readdir(folder) != nullptr) count++;
  closedir(folder);
  return count;
}

bool Run(const Test& test, int number) {
  const int before = OpenDescriptors();
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

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);  // as Node does; splice(2) cannot ask for MSG_NOSIGNAL
  alarm(kTotalSeconds);
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const char* part = "";
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--connections") == 0 && i + 1 < argc) {
      storm_connections = static_cast<uint32_t>(atoi(argv[++i]));
    } else {
      part = argv[i];
    }
  }
  int number = 0, failed = 0;
  for (const Test& test : Tests()) {
    if (strstr(test.name, part) != nullptr && !Run(test, ++number)) failed++;
  }
  printf("1..%d\n", number);
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace weft::test

int main(int argc, char** argv) { return weft::test::Main(argc, argv); }
