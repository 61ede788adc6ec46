#include "netns.h"

#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <system_error>

#include "error.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace weft::capture {

bool IsIpv4(const Address& address) {
  static constexpr uint8_t kMappedPrefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return memcmp(address.data(), kMappedPrefix, sizeof kMappedPrefix) == 0;
}

EnteredNetns::EnteredNetns(int netns) : home_(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)) {
  if (home_ < 0) ThrowErrno("cannot open this thread's network namespace");
  if (setns(netns, CLONE_NEWNET) != 0) {
    const int error = errno;
    close(home_);
    ThrowError(error, "cannot enter the network namespace (CAP_SYS_ADMIN is needed)");
  }
}

EnteredNetns::~EnteredNetns() {
  if (setns(home_, CLONE_NEWNET) != 0) abort();
  close(home_);
}

int OpenNetns(const std::string& path) {
  // O_NONBLOCK: the path comes from outside and may name a FIFO.
  const int netns = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (netns < 0) ThrowErrno("cannot open " + path);
  struct statfs filesystem;
  if (fstatfs(netns, &filesystem) != 0 || filesystem.f_type != NSFS_MAGIC ||
      ioctl(netns, NS_GET_NSTYPE) != CLONE_NEWNET) {
    close(netns);
    ThrowError(EINVAL, path + " is not a network namespace");
  }
  return netns;
}

uint64_t NetnsCookie(int netns) {
  EnteredNetns entered(netns);
  const int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) ThrowErrno("cannot open a socket in the network namespace");
  uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  const int result = getsockopt(probe, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length);
  const int error = errno;
  close(probe);
  if (result != 0) ThrowError(error, "SO_NETNS_COOKIE is not known to this kernel (Linux 5.14 is needed)");
  return cookie;
}

std::vector<InterfaceAddress> GlobalAddresses(int netns) {
  EnteredNetns entered(netns);
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) ThrowErrno("cannot list the addresses of the network namespace");
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(list, freeifaddrs);
  std::vector<InterfaceAddress> result;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
    Address address{};
    if (entry->ifa_addr->sa_family == AF_INET) {
      address[10] = address[11] = 0xff;
      memcpy(&address[12], &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr, 4);
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
      const in6_addr& ipv6 = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr;
      if (IN6_IS_ADDR_LINKLOCAL(&ipv6)) continue;
      memcpy(address.data(), &ipv6, 16);
    } else {
      continue;
    }
    result.push_back({if_nametoindex(entry->ifa_name), address});
  }
  return result;
}

}  // namespace weft::capture
