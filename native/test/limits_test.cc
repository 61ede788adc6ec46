// What happens when readers are slow and resources run out.
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>

#include <cerrno>

#include "check.h"
#include "mesh.h"

namespace weft::test {
namespace {

constexpr size_t kTooMuch = 256u << 20;

// Sends until nobody takes more; what was sent is Pattern(..., seed).
std::string FillUp(const Descriptor& socket, uint32_t seed) {
  const std::string bytes = Pattern(64u << 20, seed);
  SetNonBlocking(socket, true);
  size_t sent = 0;
  for (int quiet = 0; quiet < 20;) {
    const ssize_t taken = send(socket.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (taken > 0) {
      sent += static_cast<size_t>(taken);
      CHECK(sent < bytes.size());
      quiet = 0;
    } else {
      quiet++;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  SetNonBlocking(socket, false);
  return bytes.substr(0, sent);
}

void Transfer(const Descriptor& from, const Descriptor& to, size_t size, uint32_t seed) {
  const std::string bytes = Pattern(size, seed);
  std::thread sender([&] { Send(from, bytes); });
  const bool same = Receive(to, size) == bytes;
  sender.join();
  CHECK(same);
}

void CheckSlowReader(uint32_t pipes) {
  MeshOptions options;
  options.pipes = pipes;
  Mesh mesh(options);
  auto [client, app] = mesh.Pair();
  const std::string sent = FillUp(client, 3);
  CHECK(sent.size() < kTooMuch);
  CHECK(mesh.statistics().pipes_in_use <= pipes);
  Finish(client);
  CHECK(ReceiveAll(app) == sent);
  app.Reset();
  CHECK_EQUAL(mesh.EndedAt(0).outcome.bytes_to_upstream, static_cast<double>(sent.size()));
  CHECK_EQUAL(mesh.statistics().pipes_in_use, 0u);
}

TEST("a slow reader holds its sender back") { CheckSlowReader(16); }

TEST("a slow reader holds its sender back without pipes") { CheckSlowReader(0); }

TEST("a stuck reader with the only pipe stops nobody else") {
  MeshOptions options;
  options.pipes = 1;
  Mesh mesh(options);
  auto [stuck_client, stuck_app] = mesh.Pair();
  const std::string sent = FillUp(stuck_client, 4);
  CHECK_EQUAL(mesh.statistics().pipes_in_use, 1u);
  auto [client, app] = mesh.Pair();
  Transfer(client, app, 8u << 20, 5);
  Transfer(app, client, 8u << 20, 6);
  CHECK_EQUAL(mesh.statistics().pipes_in_use, 1u);
  Finish(stuck_client);
  CHECK(ReceiveAll(stuck_app) == sent);
  EVENTUALLY(mesh.statistics().pipes_in_use == 0);
}

TEST("a connection that rests holds no pipe") {
  Mesh mesh;
  auto [client, app] = mesh.Pair();
  Transfer(client, app, 8u << 20, 7);
  EVENTUALLY(mesh.statistics().pipes_in_use == 0);
  Transfer(app, client, 100, 8);
  CHECK_EQUAL(mesh.statistics().pipes_in_use, 0u);
}

// Takes every descriptor that the process may still open.
class DescriptorFamine {
 public:
  DescriptorFamine() {
    getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit few{256, before_.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &few) == 0);
    for (;;) {
      Descriptor descriptor(open("/dev/null", O_RDONLY | O_CLOEXEC));
      if (!descriptor) break;
      taken_.push_back(std::move(descriptor));
    }
  }
  ~DescriptorFamine() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
  std::vector<Descriptor> taken_;
};

double ProcessCpuSeconds() {
  timespec time;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

TEST("without descriptors connections wait, and the engine does not spin") {
  Mesh mesh;
  auto first = mesh.Pair();
  const Descriptor client = NewSocket(mesh.endpoint());
  {
    const DescriptorFamine famine;
    CHECK_EQUAL(Connect(client, mesh.endpoint()), 0);
    Send(client, "late");
    const double before = ProcessCpuSeconds();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    CHECK(ProcessCpuSeconds() - before < 0.25);
    CHECK_EQUAL(mesh.statistics().accepted, 1u);
    Send(first.first, "still");
    CHECK_EQUAL(Receive(first.second, 5), "still");
  }
  const Descriptor app = Accept(mesh.app);
  CHECK_EQUAL(Receive(app, 4), "late");
}

}  // namespace
}  // namespace weft::test
