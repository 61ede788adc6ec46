// Loads and attaches every program on the kernel that runs it and sends captured connections through them. Prints TAP;
// as process 1 of a virtual machine it mounts what it needs first and powers off at the end. Usage: captured-echo
// OBJECTS PINS CGROUP

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>

#include "../../native/capture/capture.h"
#include "../../native/capture/netlink.h"

namespace {

using weft::capture::Address;

constexpr int kTimeoutMs = 3000;
constexpr const char* kNamespace = "weft-kernel-test";
int number = 0, failures = 0;

void Check(bool passed, const std::string& what) {
  printf("%s %d - %s\n", passed ? "ok" : "not ok", ++number, what.c_str());
  fflush(stdout);
  if (!passed) failures++;
}

void Run(const std::string& command) {
  if (system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

struct Endpoint {
  std::string address;
  uint16_t port;
  bool operator==(const Endpoint&) const = default;
};

sockaddr_in6 ToSockaddr(const Endpoint& endpoint) {
  sockaddr_in6 result{};
  result.sin6_family = AF_INET6;
  result.sin6_port = htons(endpoint.port);
  const std::string text =
      endpoint.address.find(':') == std::string::npos ? "::ffff:" + endpoint.address : endpoint.address;
  inet_pton(AF_INET6, text.c_str(), &result.sin6_addr);
  return result;
}

Endpoint FromSockaddr(const sockaddr_in6& address) {
  char text[INET6_ADDRSTRLEN];
  inet_ntop(AF_INET6, &address.sin6_addr, text, sizeof text);
  const std::string name = text;
  return {name.starts_with("::ffff:") ? name.substr(7) : name, ntohs(address.sin6_port)};
}

Address ToAddress(const std::string& text) {
  const sockaddr_in6 parsed = ToSockaddr({text, 0});
  Address address;
  memcpy(address.data(), &parsed.sin6_addr, address.size());
  return address;
}

template <int (*kGetName)(int, sockaddr*, socklen_t*)>
Endpoint Name(int socket) {
  sockaddr_in6 address{};
  socklen_t size = sizeof address;
  kGetName(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return FromSockaddr(address);
}
int GetSockName(int fd, sockaddr* address, socklen_t* size) { return getsockname(fd, address, size); }
int GetPeerName(int fd, sockaddr* address, socklen_t* size) { return getpeername(fd, address, size); }

int NewSocket() {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int off = 0, on = 1;
  const timeval timeout{kTimeoutMs / 1000, 0};
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);  // bounds connect() too
  return fd;
}

int Listen(uint16_t port, bool transparent) {
  const int fd = NewSocket();
  const int on = 1;
  if (transparent) {
    setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof on);
    setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof on);
  }
  const sockaddr_in6 any = ToSockaddr({"::", port});
  if (bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) != 0 || listen(fd, 16) != 0)
    throw std::runtime_error("cannot listen");
  return fd;
}

int Accept(int listener) {
  pollfd waiting{listener, POLLIN, 0};
  return poll(&waiting, 1, kTimeoutMs) == 1 ? accept(listener, nullptr, nullptr) : -1;
}

int Dial(const Endpoint& to, const std::function<void(int)>& prepare = {}) {
  const int fd = NewSocket();
  if (prepare) prepare(fd);
  const sockaddr_in6 address = ToSockaddr(to);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

// An app: a child outside the agent's cgroup and inside the pod's namespace. Its exit code tells what it saw.
class App {
 public:
  App(const std::string& cgroup, int netns, const std::function<bool()>& body) : pid_(fork()) {
    if (pid_ != 0) return;
    std::ofstream(cgroup + "/cgroup.procs") << getpid() << std::flush;
    alarm(2 * kTimeoutMs / 1000);
    _exit(setns(netns, CLONE_NEWNET) == 0 && body() ? 0 : 1);
  }
  bool Succeeded() {
    int status = 0;
    waitpid(pid_, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }

 private:
  pid_t pid_;
};

bool Echoes(int client, int server) {
  char buffer[5] = {};
  return write(client, "weft", 4) == 4 && read(server, buffer, 4) == 4 && write(server, buffer, 4) == 4 &&
         read(client, buffer, 4) == 4 && strcmp(buffer, "weft") == 0;
}

void TestInbound(int listener, const std::string& address) {
  const int client = Dial({address, 7000});
  const int server = client < 0 ? -1 : Accept(listener);
  Check(server >= 0 && Name<GetSockName>(server) == Endpoint{address, 7000} &&
            Name<GetPeerName>(server) == Name<GetSockName>(client) && Echoes(client, server),
        "a connection to " + address + " is captured with both addresses kept, and echoes");
  close(client);
  close(server);
}

void TestOutbound(int listener, const std::string& pod_cgroup, int netns, const std::string& address) {
  App app(pod_cgroup, netns, [&] {
    const int client = Dial({address, 80});
    char buffer[4];
    return client >= 0 && Name<GetPeerName>(client) == Endpoint{address, 80} && write(client, "weft", 4) == 4 &&
           read(client, buffer, 4) == 4;
  });
  const int server = Accept(listener);
  char buffer[4];
  const bool echoed = server >= 0 && read(server, buffer, 4) == 4 && write(server, buffer, 4) == 4;
  Check(app.Succeeded() && echoed && Name<GetSockName>(server) == Endpoint{address, 80},
        "a connect to " + address + " is captured, and echoes");
  close(server);
}

void TestClientRestored(weft::capture::Capture& capture, int netns, const std::string& source,
                        const std::string& pod_address, const std::string& true_client) {
  weft::capture::EnteredNetns entered(netns);
  const int app = Listen(8080, false);
  client_key key{};
  memcpy(key.source.bytes, ToAddress(source).data(), 16);
  memcpy(key.app.bytes, ToAddress(pod_address).data(), 16);
  key.source_port = htons(2000);
  key.app_port = htons(8080);
  client client{};
  memcpy(client.address.bytes, ToAddress(true_client).data(), 16);
  client.port = htons(4321);
  bpf_map_update_elem(capture.MapDescriptor("clients"), &key, &client, BPF_ANY);
  const int agent = Dial({pod_address, 8080}, [&](int fd) {
    const int on = 1;
    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof on);
    const sockaddr_in6 from = ToSockaddr({source, 2000});
    bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from);
  });
  const int accepted = agent < 0 ? -1 : Accept(app);
  Check(accepted >= 0 && Name<GetPeerName>(accepted) == Endpoint{true_client, 4321},
        "the app sees its client as " + true_client);
  close(agent);
  close(accepted);
  close(app);
}

void TestProbe(const std::string& kubelet_cgroup, int netns) {
  const int home = weft::capture::OpenNetns("/proc/self/ns/net");
  int app;
  {
    weft::capture::EnteredNetns entered(netns);
    app = Listen(8081, false);
  }
  App kubelet(kubelet_cgroup, home, [] { return Dial({"10.98.0.2", 8081}) >= 0; });
  const int probe = Accept(app);
  Check(probe >= 0 && Name<GetPeerName>(probe).address == "10.98.0.1" && kubelet.Succeeded(),
        "a probe of the kubelet reaches the app itself");
  close(probe);
  close(app);
  close(home);
}

void Test(const std::string& objects, const std::string& pins, const std::string& cgroup) {
  const std::string agent_cgroup = cgroup + "/agent", pod_cgroup = cgroup + "/pod",
                    kubelet_cgroup = cgroup + "/kubelet";
  for (const std::string& folder : {cgroup, agent_cgroup, pod_cgroup, kubelet_cgroup}) mkdir(folder.c_str(), 0755);
  std::ofstream(agent_cgroup + "/cgroup.procs") << getpid() << std::flush;
  const std::string name = kNamespace, in_pod = "/bin/ip -n " + name + " ";
  Run("/bin/ip netns add " + name);
  Run("/bin/ip link add weft-k0 type veth peer name eth0 netns " + name);
  Run("/bin/ip addr add 10.98.0.1/24 dev weft-k0 && /bin/ip -6 addr add fd98::1/64 dev weft-k0 nodad && /bin/ip link "
      "set weft-k0 up");
  Run(in_pod + "link set eth0 up && " + in_pod + "addr add 10.98.0.2/24 dev eth0 && " + in_pod +
      "-6 addr add fd98::2/64 dev eth0 nodad");
  Run(in_pod + "route add default via 10.98.0.1 && " + in_pod + "-6 route add default via fd98::1");
  const int netns = weft::capture::OpenNetns("/run/netns/" + name);

  weft::capture::Capture capture({objects, pins, cgroup, agent_cgroup, kubelet_cgroup});
  Check(true, "every program is loaded");
  int listener;
  {
    weft::capture::EnteredNetns entered(netns);
    weft::capture::BringLoopbackUp();
    listener = Listen(61000, true);
  }
  const listener_key key{1, 0};
  const uint64_t value = static_cast<uint64_t>(listener);
  bpf_map_update_elem(capture.MapDescriptor("listeners"), &key, &value, BPF_ANY);
  weft::capture::PodCapture pod;
  pod.id = 1;
  pod.workers = 1;
  pod.ipv4 = ToAddress("10.98.0.2");
  pod.ipv6 = ToAddress("fd98::2");
  capture.Enrol(netns, pod);
  capture.Attach();
  Check(true, "every program is attached");

  TestInbound(listener, "10.98.0.2");
  TestInbound(listener, "fd98::2");
  TestOutbound(listener, pod_cgroup, netns, "192.0.2.1");
  TestOutbound(listener, pod_cgroup, netns, "2001:db8::1");
  TestClientRestored(capture, netns, "169.254.116.1", "10.98.0.2", "198.51.100.7");
  TestClientRestored(capture, netns, "fd77:6566:7400::1", "fd98::2", "2001:db8::7");
  TestProbe(kubelet_cgroup, netns);

  const bool went_around =
      App(pod_cgroup, netns, [] {
        return Dial({"10.98.0.1", 9}, [](int fd) { setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 4); }) >= 0;
      }).Succeeded();
  Check(!went_around && capture.Counters()[WEFT_DROPPED_EGRESS] > 0, "SO_BINDTODEVICE does not lead around the agent");
  close(listener);
  Check(Dial({"10.98.0.2", 7000}) < 0 && errno == EINPROGRESS && capture.Counters()[WEFT_DROPPED_NO_AGENT] > 0,
        "without an agent a SYN is dropped in silence");
  close(netns);
}

void MountForVirtualMachine() {
  mount("proc", "/proc", "proc", 0, nullptr);
  mount("sysfs", "/sys", "sysfs", 0, nullptr);
  mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, nullptr);
  mount("bpf", "/sys/fs/bpf", "bpf", 0, nullptr);
  mount("tmpfs", "/run", "tmpfs", 0, nullptr);
  setenv("PATH", "/bin", 1);
  for (const char* module : {"veth", "sch_ingress", "cls_bpf"}) Run(std::string("insmod /modules/") + module + ".ko");
}

}  // namespace

int main(int argc, char** argv) {
  const bool is_init = getpid() == 1;
  signal(SIGPIPE, SIG_IGN);
  std::string objects = "/bpf", pins = "/sys/fs/bpf/weft", cgroup = "/sys/fs/cgroup/weft";
  if (is_init) {
    MountForVirtualMachine();
  } else if (argc == 4) {
    objects = argv[1], pins = argv[2], cgroup = argv[3];
  } else {
    fprintf(stderr, "usage: captured-echo OBJECTS PINS CGROUP\n");
    return 2;
  }
  utsname kernel;
  uname(&kernel);
  printf("# Linux %s\n", kernel.release);
  try {
    Test(objects, pins, cgroup);
  } catch (const std::exception& error) {
    Check(false, error.what());
  }
  try {
    weft::capture::Uninstall(pins);
  } catch (const std::exception& error) {
    Check(false, error.what());
  }
  printf("1..%d\n", number);
  fflush(stdout);
  if (is_init) reboot(RB_POWER_OFF);
  return failures == 0 ? 0 : 1;
}
