// weft-broker --socket PATH [--worker-uid UID]: listens at PATH until it has nothing more to do.
#include <signal.h>
#include <sys/resource.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>

#include "broker.h"
#include "log.h"
#include "privileges.h"
#include "socket_file.h"

namespace weft::broker {
namespace {

struct Options {
  std::string_view socket;
  uid_t worker_uid = 0;
};

std::optional<Options> ReadOptions(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return std::nullopt;
    const std::string_view value = argv[i + 1];
    if (name == "--socket") {
      options.socket = value;
    } else if (name == "--worker-uid") {
      const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), options.worker_uid);
      if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
    } else {
      return std::nullopt;
    }
  }
  if (options.socket.empty()) return std::nullopt;
  return options;
}

// There is no PR_SET_PDEATHSIG, as the broker outlives main, and so it does main's terminal.
void PrepareProcess() {
  signal(SIGPIPE, SIG_IGN);
  signal(SIGCHLD, SIG_IGN);  // the kernel reaps provers (sigaction(2), NOTES)
  signal(SIGINT, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int Main(int argc, char** argv) {
  const std::optional<Options> options = ReadOptions(argc, argv);
  if (!options) {
    fprintf(stderr, "usage: weft-broker --socket PATH [--worker-uid UID]\n");
    return 2;
  }
  PrepareProcess();
  try {
    const SocketFile socket{std::string(options->socket)};
    GiveUpCapabilities();
    Broker(socket.descriptor(), options->worker_uid).Run();
  } catch (const std::exception& error) {
    Log(Level::kError, "the broker ends", {{"error", error.what()}});
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace weft::broker

int main(int argc, char** argv) { return weft::broker::Main(argc, argv); }
