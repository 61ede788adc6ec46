// Runs a whole broker against what peers may send it, in one thread: where it would wait, it is the peers' turn. What
// makes sockets in namespaces and starts processes is replaced; what a peer is told must fit to who it is.
#include "../broker/broker.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include "../broker/pod_sockets.h"
#include "script.h"

using namespace weft::broker;
using weft::fuzz::Datagram;
using weft::fuzz::Script;
using weft::fuzz::Step;

extern "C" {
int __real_epoll_wait(int epoll, epoll_event* events, int maximum, int timeout);
ssize_t __real_sendmsg(int socket, const msghdr* message, int flags);
long __real_syscall(long number, ...);
}

namespace {

// Switches of a step.
constexpr uint8_t kPeerMask = 3, kHangUp = 4, kKernelRefuses = 8, kPeersDoNotRead = 16, kProofsFinish = 32;

const sockaddr_un kAddress = [] {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  snprintf(&address.sun_path[1], sizeof address.sun_path - 1, "weft-fuzz-broker-%d", getpid());
  return address;
}();
const int kAnyDescriptor = open("/dev/null", O_RDWR | O_CLOEXEC);

bool kernel_refuses, peers_do_not_read;
std::vector<Descriptor> running_proofs;

Descriptor NewDescriptor() { return Descriptor(fcntl(kAnyDescriptor, F_DUPFD_CLOEXEC, 0)); }

class Peer {
 public:
  void Send(const Step& step) {
    if (!socket_) Connect();
    Type type{};
    if (step.bytes.size() >= sizeof type) memcpy(&type, step.bytes.data(), sizeof type);
    said_hello_ = said_hello_ || type == Type::kHello;
    Datagram datagram(const_cast<uint8_t*>(step.bytes.data()), step.bytes.size());
    datagram.Attach(kAnyDescriptor, step.descriptors);
    if (__real_sendmsg(socket_.get(), datagram.header(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EPIPE)
      Forget();  // cut off
  }
  // The broker sees the end behind all that was sent, and can still answer.
  void HangUp() {
    if (socket_) shutdown(socket_.get(), SHUT_WR);
  }
  void Forget() {
    Read();
    *this = Peer();
  }
  void Read() {
    std::array<std::byte, 2048> bytes;
    while (socket_) {
      Datagram datagram(bytes.data(), bytes.size());
      const ssize_t size = recvmsg(socket_.get(), datagram.header(), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
      if (size <= 0) return;
      const std::vector<int> descriptors = datagram.Descriptors();
      for (const int descriptor : descriptors) close(descriptor);
      Judge(std::span(bytes).first(static_cast<size_t>(size)), descriptors.size());
    }
  }

 private:
  enum class Kind { kUnknown, kMain, kWorker };

  void Connect() {
    socket_ = Descriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (connect(socket_.get(), reinterpret_cast<const sockaddr*>(&kAddress), sizeof kAddress) != 0) abort();
  }

  template <typename T>
  static const T& As(std::span<const std::byte> bytes) {
    if (bytes.size() != sizeof(T)) abort();
    return *reinterpret_cast<const T*>(bytes.data());
  }

  void MustBe(Kind kind) {
    if (!said_hello_ || (kind_ != Kind::kUnknown && kind_ != kind)) abort();
    kind_ = kind;
  }

  void Judge(std::span<const std::byte> bytes, size_t descriptors) {
    size_t expected = 0;
    switch (*reinterpret_cast<const Type*>(bytes.data())) {
      case Type::kPodAdded: {
        const auto& answer = As<PodAdded>(bytes);
        MustBe(Kind::kMain);
        if ((answer.error == 0) != (answer.port != 0)) abort();
        break;
      }
      case Type::kProved:
        As<Proved>(bytes);
        MustBe(Kind::kMain);
        break;
      case Type::kListener:
        As<Listener>(bytes);
        MustBe(Kind::kWorker);
        expected = 1;
        break;
      case Type::kListenerGone:
        As<ListenerGone>(bytes);
        MustBe(Kind::kWorker);
        break;
      case Type::kSockets: {
        const auto& answer = As<Sockets>(bytes);
        MustBe(Kind::kWorker);
        if ((answer.error == 0) != (answer.count != 0)) abort();
        expected = answer.count;
        break;
      }
      case Type::kDrain:
        As<Drain>(bytes);
        break;
      default:
        abort();
    }
    if (descriptors != expected) abort();
  }

  Descriptor socket_;
  bool said_hello_ = false;
  Kind kind_ = Kind::kUnknown;
};

std::array<Peer, 4> peers;
std::optional<Script> script;

void FinishProofs() {
  const ProofResult result{0, 40000};
  for (const Descriptor& proof : running_proofs) {
    if (write(proof.get(), &result, sizeof result) < 0) continue;  // the broker may have given up on it
  }
  running_proofs.clear();
}

void PeersTurn() {
  for (Peer& peer : peers) peer.Read();
  if (script->IsEmpty()) {
    kernel_refuses = peers_do_not_read = false;
    FinishProofs();
    for (Peer& peer : peers) peer.HangUp();
    return;
  }
  const Step step = script->Next();
  Peer& peer = peers[step.switches & kPeerMask];
  kernel_refuses = (step.switches & kKernelRefuses) != 0;
  peers_do_not_read = (step.switches & kPeersDoNotRead) != 0;
  if ((step.switches & kProofsFinish) != 0) FinishProofs();
  peer.Send(step);
  if ((step.switches & kHangUp) != 0) {
    peer.HangUp();
    peer.Forget();
  }
}

}  // namespace

namespace weft::broker {

int MakeListeners(int netns, bool, uint32_t count, const std::vector<uint16_t>&, std::vector<Descriptor>* listeners,
                  uint16_t* port) {
  if (kernel_refuses) return EPERM;
  if (fcntl(netns, F_GETFD) < 0) abort();
  for (uint32_t i = 0; i < count; i++) listeners->push_back(NewDescriptor());
  *port = kFirstListenerPort;
  return 0;
}

int MakeSockets(int netns, bool, uint32_t count, std::vector<Descriptor>* sockets) {
  if (kernel_refuses) return EMFILE;
  if (fcntl(netns, F_GETFD) < 0) abort();
  for (uint32_t i = 0; i < count; i++) sockets->push_back(NewDescriptor());
  return 0;
}

Prover StartProver(const Prove&, int netns, int cgroup_processes) {
  errno = EAGAIN;
  if (kernel_refuses) return {};
  if (fcntl(netns, F_GETFD) < 0 || fcntl(cgroup_processes, F_GETFD) < 0) abort();
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return {};
  running_proofs.emplace_back(ends[1]);
  return {1, Descriptor(ends[0])};
}

ProofResult FinishProver(const Prover& prover) {
  ProofResult result{};
  if (read(prover.result.get(), &result, sizeof result) != sizeof result) abort();
  return result;
}

}  // namespace weft::broker

extern "C" {

int __wrap_epoll_wait(int epoll, epoll_event* events, int maximum, int) {
  PeersTurn();
  return __real_epoll_wait(epoll, events, maximum, 0);
}

ssize_t __wrap_sendmsg(int socket, const msghdr* message, int flags) {
  if (!peers_do_not_read) return __real_sendmsg(socket, message, flags);
  errno = EAGAIN;
  return -1;
}

long __wrap_syscall(long number, ...) {
  if (number != SYS_bpf) abort();
  errno = EPERM;
  return kernel_refuses ? -1 : 0;
}

int LLVMFuzzerInitialize(int*, char***) {
  signal(SIGPIPE, SIG_IGN);  // as the broker does
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const ptrdiff_t open_before = weft::fuzz::OpenDescriptors();
  {
    Descriptor listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (bind(listener.get(), reinterpret_cast<const sockaddr*>(&kAddress), sizeof kAddress) != 0 ||
        listen(listener.get(), 128) != 0)
      abort();
    script.emplace(std::span(data, size));
    Broker(std::move(listener), getuid()).Run();
    for (Peer& peer : peers) peer.Forget();
    running_proofs.clear();
  }
  if (weft::fuzz::OpenDescriptors() != open_before) abort();
  return 0;
}
}
