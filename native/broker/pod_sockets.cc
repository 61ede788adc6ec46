#include "pod_sockets.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <random>

#include "protocol.h"

namespace weft::broker {
namespace {

constexpr int kBacklog = 4096;  // net.core.somaxconn of the namespace caps it
constexpr int kKeepAliveSeconds = 10;
constexpr int kKeepAliveProbes = 2;  // and an end after 30 s of silence
constexpr int kPortAttempts = 200;

// Coming home must not fail: every later socket would belong to a pod.
class Entered {
 public:
  explicit Entered(int netns) {
    static const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    home_ = home;
    if (home_ < 0) abort();
    error_ = setns(netns, CLONE_NEWNET) == 0 ? 0 : errno;
  }
  ~Entered() {
    if (error_ == 0 && setns(home_, CLONE_NEWNET) != 0) abort();
  }
  Entered(const Entered&) = delete;
  int error() const { return error_; }

 private:
  int home_, error_;
};

bool Set(int socket, int level, int option, int value) {
  return setsockopt(socket, level, option, &value, sizeof value) == 0;
}

// A dead peer is noticed by its silence. Not by TCP_USER_TIMEOUT, for which a live one that leaves its window shut is
// silent, too (tcp_probe_timer()): an app may read as late as it likes.
// Accepted sockets inherit these from their listener (inet_csk_clone_lock()), which saves the worker the calls.
bool SetCommonOptions(int socket) {
  return Set(socket, SOL_SOCKET, SO_REUSEADDR, 1) && Set(socket, IPPROTO_TCP, TCP_NODELAY, 1) &&
         Set(socket, SOL_SOCKET, SO_KEEPALIVE, 1) && Set(socket, IPPROTO_TCP, TCP_KEEPIDLE, kKeepAliveSeconds) &&
         Set(socket, IPPROTO_TCP, TCP_KEEPINTVL, kKeepAliveSeconds) &&
         Set(socket, IPPROTO_TCP, TCP_KEEPCNT, kKeepAliveProbes);
}

Descriptor NewSocket(bool ipv6) {
  Descriptor socket_descriptor(
      socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (socket_descriptor && !SetCommonOptions(socket_descriptor.get())) return {};
  return socket_descriptor;
}

// Transparent: the SYN-ACK is sent from an address that is not local. Bound to the wildcard, as an IPv6 socket that is
// bound to anything else takes no IPv4 (inet6_bind() sets ipv6only); the workers' listeners therefore share the port.
Descriptor NewListener(bool ipv6, uint16_t port) {
  Descriptor listener = NewSocket(ipv6);
  if (!listener || !Set(listener.get(), SOL_SOCKET, SO_REUSEPORT, 1) ||
      !Set(listener.get(), IPPROTO_IP, IP_TRANSPARENT, 1))
    return {};
  int bound;
  if (ipv6) {
    if (!Set(listener.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0) || !Set(listener.get(), IPPROTO_IPV6, IPV6_TRANSPARENT, 1))
      return {};
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(port);
    bound = bind(listener.get(), reinterpret_cast<sockaddr*>(&any), sizeof any);
  } else {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_port = htons(port);
    bound = bind(listener.get(), reinterpret_cast<sockaddr*>(&any), sizeof any);
  }
  if (bound != 0 || listen(listener.get(), kBacklog) != 0) return {};
  return listener;
}

// Whether a first listener without SO_REUSEPORT may have the port: then it is nobody's.
bool IsFree(bool ipv6, uint16_t port) {
  const Descriptor probe(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
  sockaddr_storage any{};
  any.ss_family = ipv6 ? AF_INET6 : AF_INET;
  reinterpret_cast<sockaddr_in*>(&any)->sin_port = htons(port);  // at the same place in sockaddr_in6
  if (ipv6 && !Set(probe.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0)) return false;
  return bind(probe.get(), reinterpret_cast<sockaddr*>(&any), ipv6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in)) == 0;
}

}  // namespace

int MakeListeners(int netns, bool ipv6, uint32_t count, const std::vector<uint16_t>& avoided,
                  std::vector<Descriptor>* listeners, uint16_t* port) {
  const Entered entered(netns);
  if (entered.error() != 0) return entered.error();
  static std::minstd_rand random{std::random_device{}()};
  std::uniform_int_distribution<int> ports(kFirstListenerPort, kLastListenerPort);
  for (int attempt = 0; attempt < kPortAttempts; attempt++) {
    *port = static_cast<uint16_t>(ports(random));
    if (std::ranges::find(avoided, *port) != avoided.end() || !IsFree(ipv6, *port)) continue;
    listeners->clear();
    while (listeners->size() < count) {
      Descriptor listener = NewListener(ipv6, *port);
      if (!listener) break;
      listeners->push_back(std::move(listener));
    }
    if (listeners->size() == count) return 0;
    const int error = errno;
    listeners->clear();
    if (error != EADDRINUSE) return error;
  }
  return EADDRINUSE;
}

int MakeSockets(int netns, bool ipv6, uint32_t count, std::vector<Descriptor>* sockets) {
  const Entered entered(netns);
  if (entered.error() != 0) return entered.error();
  while (sockets->size() < count) {
    Descriptor made = NewSocket(ipv6);
    // The source block is local by a route, which bind(2) does not look at for IPv6 (inet6_bind()).
    if (!made || (ipv6 && !Set(made.get(), IPPROTO_IPV6, IPV6_FREEBIND, 1))) {
      const int error = errno;
      if (!sockets->empty()) return 0;
      return error;
    }
    sockets->push_back(std::move(made));
  }
  return 0;
}

}  // namespace weft::broker
