// Who may say what, and what becomes of those who say something else.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "../../test/check.h"
#include "running_broker.h"

namespace weft::broker::test {
namespace {

bool IsAlive(RunningBroker& broker) {
  Peer main = broker.Main();
  const PodNetns pod;
  const bool answered = AddTo(main, AddPodMessage(999, 1), pod).error == 0;
  main.Send(RemovePod{Type::kRemovePod, 999});
  return answered;
}

// As another user: 0 when the broker closed the connection without a word, after `hello` was sent.
int TryAs(uid_t uid, const RunningBroker& broker, const Hello& hello, const SocketsWanted& wanted) {
  const pid_t child = fork();
  if (child == 0) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    memcpy(address.sun_path, broker.path().data(), broker.path().size());
    const int peer = socket(AF_UNIX, SOCK_SEQPACKET, 0);
    alarm(5);
    if (setresuid(uid, uid, uid) != 0 || connect(peer, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
      _exit(2);
    send(peer, &hello, sizeof hello, MSG_NOSIGNAL);
    send(peer, &wanted, sizeof wanted, MSG_NOSIGNAL);
    std::byte answer[256];
    _exit(recv(peer, answer, sizeof answer, 0) > 0 ? 1 : 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST("only root is main, only the workers' user is a worker") {
  RunningBroker broker;
  CHECK(IsAlive(broker));  // it listens
  const Hello as_worker{Type::kHello, Role::kWorker, 0}, as_main{Type::kHello, Role::kMain, 0};
  const SocketsWanted wanted{Type::kSocketsWanted, 1, 4, 1};
  CHECK_EQUAL(TryAs(kWorkerUid, broker, as_worker, wanted), 1);
  CHECK_EQUAL(TryAs(kWorkerUid, broker, as_main, wanted), 0);
  CHECK_EQUAL(TryAs(kWorkerUid + 1, broker, as_worker, wanted), 0);
  CHECK(IsAlive(broker));
}

TEST("a worker that speaks as main, and a peer that does not say who it is, are cut off") {
  RunningBroker broker;
  Peer worker = broker.Worker(0);
  worker.Send(RemovePod{Type::kRemovePod, 1});
  CHECK(worker.IsCutOff());
  Peer stranger = broker.Connect();
  stranger.Send(SocketsWanted{Type::kSocketsWanted, 1, 4, 1});
  CHECK(stranger.IsCutOff());
  Peer undecided = broker.Worker(0);
  undecided.Send(Hello{Type::kHello, Role::kMain, 0});
  CHECK(undecided.IsCutOff());
  Peer outside = broker.Worker(WEFT_MAX_WORKERS);
  CHECK(outside.IsCutOff());
  CHECK(IsAlive(broker));
}

TEST("a second worker of a slot takes the first one's place") {
  RunningBroker broker;
  Peer first = broker.Worker(0);
  CHECK(first.IsSilent(std::chrono::milliseconds(50)));
  Peer second = broker.Worker(0);
  CHECK(first.IsCutOff());
  CHECK(second.IsSilent(std::chrono::milliseconds(50)));
}

// Every type with every size around its own, with and without descriptors, then noise.
TEST("garbage cuts its sender off and leaves no descriptor behind") {
  RunningBroker broker;
  CHECK(IsAlive(broker));
  const int before = broker.Descriptors();
  std::mt19937 random(20261121);
  const int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (int round = 0; round < 3000; round++) {
    Peer peer = broker.Connect();
    if (round % 3 != 0)
      peer.Send(Hello{Type::kHello, round % 3 == 1 ? Role::kMain : Role::kWorker, static_cast<uint32_t>(random() % 4)});
    std::vector<std::byte> bytes(1 + random() % 300);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    constexpr uint32_t kTypes[] = {1, 10, 11, 12, 13, 14, 20, 30, 40, 0, 255};
    const uint32_t type = kTypes[random() % std::size(kTypes)];
    if (type == static_cast<uint32_t>(Type::kDrain)) continue;  // is obeyed, whatever the rest says
    if (bytes.size() >= sizeof type && random() % 4 != 0) memcpy(bytes.data(), &type, sizeof type);
    const std::vector<int> descriptors(random() % 3, null);
    peer.Send(bytes, descriptors);
  }
  close(null);
  CHECK(IsAlive(broker));
  EVENTUALLY(broker.Descriptors() <= before);
}

TEST("a worker that asks and does not read is cut off before it uses up the descriptors") {
  RunningBroker broker;
  Peer main = broker.Main();
  Peer greedy = broker.Worker(0);
  const PodNetns pod;
  AddTo(main, AddPodMessage(7, 1), pod);
  int most = 0;
  for (int i = 0; i < 20000; i++) {
    if (!greedy.Send(SocketsWanted{Type::kSocketsWanted, 7, 4, kMaxDescriptors})) break;
    if (i % 16 == 0) most = std::max(most, broker.Descriptors());
  }
  CHECK(most < 4000);
  CHECK(greedy.IsCutOff());
  CHECK(IsAlive(broker));
  EVENTUALLY(broker.Descriptors() < 100);
}

// unix(7), ETOOMANYREFS: the broker has a capability that exempts it.
TEST("more descriptors may be on their way to a worker than the broker may have open") {
  constexpr int kMostOpen = 256, kRequests = 8;
  static_assert(kRequests * kMaxDescriptors > kMostOpen);
  RunningBroker broker;
  broker.LimitDescriptors(kMostOpen);
  Peer main = broker.Main();
  Peer worker = broker.Worker(0);
  const PodNetns pod;
  AddTo(main, AddPodMessage(7, 1), pod);
  worker.ExpectMessage(Type::kListener);
  for (int i = 0; i < kRequests; i++) worker.Send(SocketsWanted{Type::kSocketsWanted, 7, 4, kMaxDescriptors});
  CHECK(IsAlive(broker));  // and has answered
  for (int i = 0; i < kRequests; i++) worker.Expect<Sockets>(Type::kSockets, kMaxDescriptors);
}

}  // namespace
}  // namespace weft::broker::test
