// Proofs, and how a broker ends.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>

#include "../../test/check.h"
#include "running_broker.h"

namespace weft::broker::test {
namespace {

using std::chrono::milliseconds;

// Where main opens cgroup.procs of an app's cgroup.
struct Cgroup {
  Descriptor processes{open("/dev/null", O_WRONLY | O_CLOEXEC)};
};

Prove ProveMessage(uint32_t pod, uint32_t port) {
  Prove message{};
  message.type = Type::kProve;
  message.pod = pod;
  message.deadline_ms = 1000;
  message.port = port;
  const uint8_t loopback[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
  memcpy(message.destination.bytes, loopback, sizeof loopback);
  return message;
}

Proved Try(Peer& main, const Prove& proof) {
  const Cgroup cgroup;
  const int processes = cgroup.processes.get();
  main.Send(proof, std::span(&processes, 1));
  return main.Expect<Proved>(Type::kProved);
}

TEST("a proof dials from inside the pod and tells the port it came from, or the error") {
  RunningBroker broker;
  Peer main = broker.Main();
  const PodNetns pod;
  const uint32_t port = AddTo(main, AddPodMessage(7, 1), pod).port;
  const Proved proved = Try(main, ProveMessage(7, port));
  CHECK_EQUAL(proved.error, 0);
  CHECK(proved.source_port != 0);
  CHECK_EQUAL(Try(main, ProveMessage(7, 1)).error, ECONNREFUSED);
  CHECK_EQUAL(Try(main, ProveMessage(8, port)).error, ENOENT);
}

TEST("many proofs at once are all answered") {
  RunningBroker broker;
  Peer main = broker.Main();
  const PodNetns pod;
  const uint32_t port = AddTo(main, AddPodMessage(7, 1), pod).port;
  const int before = broker.Descriptors();
  const Cgroup cgroup;
  const int processes = cgroup.processes.get();
  for (int round = 0; round < 10; round++) {
    for (int i = 0; i < 60; i++) main.Send(ProveMessage(7, port), std::span(&processes, 1));
    for (int i = 0; i < 60; i++) CHECK_EQUAL(main.Expect<Proved>(Type::kProved).error, 0);
  }
  EVENTUALLY(broker.Descriptors() == before);  // the last answer is sent before its pipe is closed
}

// A copy in a prover would keep the worker's connection open to its peer.
TEST("a prover holds nothing of the broker's peers") {
  RunningBroker broker;
  Peer main = broker.Main();
  const PodNetns pod;
  AddTo(main, AddPodMessage(7, 1), pod);
  Prove slow = ProveMessage(7, 9);
  const uint8_t nowhere[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 169, 254, 117, 0};
  memcpy(slow.destination.bytes, nowhere, sizeof nowhere);
  Peer worker = broker.Worker(0);
  worker.ExpectMessage(Type::kListener);
  const Cgroup cgroup;
  const int processes = cgroup.processes.get();
  main.Send(slow, std::span(&processes, 1));
  worker.Send(RemovePod{Type::kRemovePod, 1});
  const auto begin = std::chrono::steady_clock::now();
  CHECK(worker.IsCutOff());
  CHECK(std::chrono::steady_clock::now() - begin < milliseconds(250));
}

// A new peer may have the place of the one that asked.
TEST("the answer to a main that has gone reaches nobody else") {
  RunningBroker broker;
  std::optional<Peer> main(broker.Main());
  const PodNetns pod;
  AddTo(*main, AddPodMessage(7, 1), pod);
  sockaddr_in full{};
  socklen_t size = sizeof full;
  full.sin_family = AF_INET;
  full.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // One connection fills its queue, so the handshake of the next one has to wait.
  const auto [listener, client] = pod.Inside([&] {
    std::pair ends(Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
                   Descriptor(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)));
    const auto address = reinterpret_cast<sockaddr*>(&full);
    if (bind(ends.first.get(), address, size) != 0 || listen(ends.first.get(), 0) != 0 ||
        getsockname(ends.first.get(), address, &size) != 0 || connect(ends.second.get(), address, size) != 0)
      throw std::runtime_error("no listener with a full queue");
    return ends;
  });
  Prove slow = ProveMessage(7, ntohs(full.sin_port));
  slow.deadline_ms = 300;
  const Cgroup cgroup;
  const int processes = cgroup.processes.get();
  const int before = broker.Descriptors();
  main->Send(slow, std::span(&processes, 1));
  EVENTUALLY(broker.Descriptors() == before + 1);
  main.reset();
  EVENTUALLY(broker.Descriptors() == before);
  Peer worker = broker.Worker(0);
  worker.ExpectMessage(Type::kListener);
  CHECK(worker.IsSilent(milliseconds(600)));
}

TEST("draining: everybody is told, listeners serve for the grace period, and the broker ends with its last worker") {
  RunningBroker broker;
  Peer main = broker.Main();
  std::optional<Peer> worker(broker.Worker(0));
  const PodNetns pod;
  AddTo(main, AddPodMessage(7, 1), pod);
  worker->ExpectMessage(Type::kListener);
  Peer successor = broker.Main();
  successor.Send(Drain{Type::kDrain, 200});
  CHECK_EQUAL(worker->Expect<Drain>(Type::kDrain).grace_ms, 200u);
  CHECK_EQUAL(main.Expect<Drain>(Type::kDrain).grace_ms, 200u);
  CHECK(!broker.Ended(milliseconds(400)));
  worker->Send(SocketsWanted{Type::kSocketsWanted, 7, 4, 1});
  CHECK_EQUAL(worker->ExpectMessage(Type::kSockets).descriptors.size(), 1u);  // open connections go on
  worker.reset();
  CHECK(broker.Ended(milliseconds(2000)));
}

TEST("a broker that nobody knows any more ends") {
  RunningBroker broker;
  broker.Main();
  CHECK(broker.Ended(milliseconds(25000)));
}

}  // namespace
}  // namespace weft::broker::test
