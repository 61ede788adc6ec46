#include "running_broker.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <thread>

namespace weft::broker::test {
namespace {

constexpr int kPatienceMs = 5000;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

Descriptor MakeListenerMap() {
  bpf_attr attributes{};
  attributes.map_type = BPF_MAP_TYPE_SOCKHASH;
  attributes.key_size = sizeof(listener_key);
  attributes.value_size = sizeof(uint64_t);
  attributes.max_entries = 4096;
  Descriptor map(static_cast<int>(syscall(SYS_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes)));
  if (!map) Fail("no SOCKHASH: the test needs root");
  return map;
}

}  // namespace

const char* broker_binary = nullptr;

bool Peer::Send(std::span<const std::byte> bytes, std::span<const int> descriptors) {
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))] = {};
  iovec part{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  if (!descriptors.empty()) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(descriptors.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
    memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
  }
  pollfd writable{socket_.get(), POLLOUT, 0};
  if (poll(&writable, 1, kPatienceMs) != 1) throw std::runtime_error("the broker does not read");
  return sendmsg(socket_.get(), &header, MSG_NOSIGNAL) >= 0;
}

std::optional<Received> Peer::Receive() {
  pollfd readable{socket_.get(), POLLIN, 0};
  if (poll(&readable, 1, kPatienceMs) != 1) throw std::runtime_error("the broker does not answer");
  Received received;
  received.bytes.resize(1024);
  alignas(cmsghdr) char control[CMSG_SPACE(kMaxDescriptors * sizeof(int))];
  iovec part{received.bytes.data(), received.bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(socket_.get(), &header, MSG_CMSG_CLOEXEC);
  if (size <= 0) return std::nullopt;
  received.bytes.resize(static_cast<size_t>(size));
  if (const cmsghdr* rights = CMSG_FIRSTHDR(&header); rights != nullptr) {
    const size_t count = (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; i++) {
      int descriptor;
      memcpy(&descriptor, CMSG_DATA(rights) + i * sizeof descriptor, sizeof descriptor);
      received.descriptors.emplace_back(descriptor);
    }
  }
  return received;
}

Received Peer::ExpectMessage(Type type) {
  std::optional<Received> received = Receive();
  if (!received) throw std::runtime_error("cut off by the broker");
  if (received->type() != type) throw std::runtime_error("a message of another type");
  return std::move(*received);
}

bool Peer::IsCutOff() {
  while (Receive()) continue;
  return true;
}

bool Peer::IsSilent(std::chrono::milliseconds time) {
  pollfd readable{socket_.get(), POLLIN, 0};
  return poll(&readable, 1, static_cast<int>(time.count())) == 0;
}

RunningBroker::RunningBroker() : listener_map_(MakeListenerMap()) {
  char folder[] = "/tmp/weft-broker-test-XXXXXX";
  if (mkdtemp(folder) == nullptr || chmod(folder, 0755) != 0) Fail("mkdtemp");
  folder_ = folder;
  path_ = folder_ + "/broker.sock";
  process_ = fork();
  if (process_ == 0) {
    const std::string uid = std::to_string(kWorkerUid);
    execl(broker_binary, broker_binary, "--socket", path_.c_str(), "--worker-uid", uid.c_str(), nullptr);
    _exit(127);
  }
  for (int attempt = 0; access(path_.c_str(), W_OK) != 0; attempt++) {
    if (attempt == kPatienceMs) throw std::runtime_error("the broker does not listen");
    usleep(1000);
  }
}

RunningBroker::~RunningBroker() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  unlink(path_.c_str());
  rmdir(folder_.c_str());
}

Peer RunningBroker::Connect() {
  Descriptor peer(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path, path_.data(), path_.size());
  // The path is there a moment before the broker listens.
  for (int attempt = 0; connect(peer.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0; attempt++) {
    if (errno != ECONNREFUSED || attempt == kPatienceMs) Fail("connect to the broker");
    usleep(1000);
  }
  return Peer(std::move(peer));
}

Peer RunningBroker::Main() {
  Peer main = Connect();
  main.Send(Hello{Type::kHello, Role::kMain, 0});
  const int map = listener_map_.get();
  main.Send(SetListenerMap{Type::kSetListenerMap}, std::span(&map, 1));
  return main;
}

Peer RunningBroker::Worker(uint32_t slot) {
  Peer worker = Connect();
  worker.Send(Hello{Type::kHello, Role::kWorker, slot});
  return worker;
}

int RunningBroker::Descriptors() const {
  int count = 0;
  DIR* folder = opendir(("/proc/" + std::to_string(process_) + "/fd").c_str());
  while (folder != nullptr && readdir(folder) != nullptr) count++;
  if (folder != nullptr) closedir(folder);
  return count;
}

void RunningBroker::LimitDescriptors(int most) const {
  const rlimit limit{static_cast<rlim_t>(most), static_cast<rlim_t>(most)};
  if (prlimit(process_, RLIMIT_NOFILE, &limit, nullptr) != 0) Fail("prlimit");
}

bool RunningBroker::Ended(std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  int status = 0;
  while (waitpid(process_, &status, WNOHANG) == 0) {
    if (std::chrono::steady_clock::now() > end) return false;
    usleep(2000);
  }
  process_ = -1;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void RunInside(int netns, void (*function)(void*), void* argument) {
  std::exception_ptr failure;
  std::thread inside([&] {
    try {
      if (setns(netns, CLONE_NEWNET) != 0) Fail("setns");
      function(argument);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  inside.join();
  if (failure) std::rethrow_exception(failure);
}

PodNetns::PodNetns() {
  std::thread([this] {
    if (unshare(CLONE_NEWNET) != 0) return;
    const Descriptor control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq loopback{};
    strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP;
    if (ioctl(control.get(), SIOCSIFFLAGS, &loopback) == 0)
      netns_ = Descriptor(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  }).join();
  if (!netns_) throw std::runtime_error("no network namespace: the test needs root");
}

AddPod AddPodMessage(uint32_t pod, uint32_t workers) {
  AddPod message{};
  message.type = Type::kAddPod;
  message.pod = pod;
  message.workers = workers;
  message.ipv6 = 1;
  return message;
}

PodAdded AddTo(Peer& main, const AddPod& request, const PodNetns& pod) {
  const int netns = pod.get();
  main.Send(request, std::span(&netns, 1));
  return main.Expect<PodAdded>(Type::kPodAdded);
}

}  // namespace weft::broker::test
