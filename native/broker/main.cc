// weft-broker --socket PATH --worker-uid UID: listens at PATH until it has nothing more to do.

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "broker.h"
#include "privileges.h"

namespace {

using weft::broker::Descriptor;

constexpr int kBacklog = 128;

int Fail(const std::string& what) {
  fprintf(stderr, "{\"component\":\"broker\",\"level\":\"error\",\"msg\":\"%s: %s\"}\n", what.c_str(), strerror(errno));
  return 1;
}

// Anybody may connect; the broker asks the kernel who it is (SO_PEERCRED).
Descriptor Listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return {};
  }
  memcpy(address.sun_path, path.data(), path.size());
  Descriptor listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  unlink(path.c_str());
  if (bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      chmod(path.c_str(), 0666) != 0 || listen(listener.get(), kBacklog) != 0) {
    return {};
  }
  return listener;
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

int main(int argc, char** argv) {
  std::string path;
  uid_t worker_uid = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--socket") == 0) path = argv[i + 1];
    if (strcmp(argv[i], "--worker-uid") == 0) worker_uid = static_cast<uid_t>(strtoul(argv[i + 1], nullptr, 10));
  }
  if (path.empty()) {
    fprintf(stderr, "usage: weft-broker --socket PATH --worker-uid UID\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_IGN);  // provers are reaped by the kernel
  signal(SIGINT, SIG_IGN);   // it outlives main, also main's terminal
  signal(SIGHUP, SIG_IGN);
  RaiseDescriptorLimit();
  Descriptor listener = Listen(path);
  if (!listener) return Fail("cannot listen on " + path);
  if (!weft::broker::KeepOnlyNeededCapabilities()) return Fail("cannot give up capabilities");
  weft::broker::Broker(std::move(listener), worker_uid).Run();
  unlink(path.c_str());
  return 0;
}
