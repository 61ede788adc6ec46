// What the kernel itself does with a pod's packets, on a device: of the tables, what a process can really send.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "../../../native/test/check.h"
#include "cgroup.h"
#include "kernel.h"

namespace weft::test {
namespace {

// A process of an enrolled pod that the guard watches.
class GuardedPod {
 public:
  GuardedPod() : kernel_(object_file) {
    kernel_.Enrol();
    cgroup_descriptor_ = open(cgroup_.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    link_ = bpf_program__attach_cgroup(kernel_.Program("weft_egress"), cgroup_descriptor_);
    CHECK(link_ != nullptr);
  }
  ~GuardedPod() {
    bpf_link__destroy(link_);
    close(cgroup_descriptor_);
  }
  uint64_t Refused() const { return kernel_.Counter(WEFT_DROPPED_EGRESS); }

 private:
  const Kernel kernel_;
  const TemporaryCgroup cgroup_;
  int cgroup_descriptor_ = -1;
  bpf_link* link_ = nullptr;
};

class Socket {
 public:
  Socket(int family, int type, int protocol) : fd_(socket(family, type | SOCK_CLOEXEC, protocol)) { CHECK(fd_ >= 0); }
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// Sees every frame that the pod's device lets out.
class Wire {
 public:
  Wire() : socket_(AF_PACKET, SOCK_RAW, htons(0x0003)) {  // ETH_P_ALL
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(0x0003);
    address.sll_ifindex = static_cast<int>(if_nametoindex(kFarDevice));
    CHECK_EQUAL(bind(socket_.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  // IP packets of that kind, until none has come for a while.
  int Count(uint16_t type, size_t protocol_at, uint8_t protocol) const {
    int count = 0;
    pollfd readable{socket_.fd(), POLLIN, 0};
    while (poll(&readable, 1, 200) > 0) {
      uint8_t frame[2048];
      const ssize_t size = recv(socket_.fd(), frame, sizeof frame, 0);
      if (size > static_cast<ssize_t>(14 + protocol_at) && frame[12] == type >> 8 && frame[13] == (type & 0xff) &&
          frame[14 + protocol_at] == protocol)
        count++;
    }
    return count;
  }
  int Fragments() const { return Count(kIpv6, 6, kFragment); }

 private:
  const Socket socket_;
};

int SendRaw(int family, const Bytes& packet) {
  const Socket raw(family, SOCK_RAW, IPPROTO_RAW);  // which implies a header of the sender's (raw(7))
  sockaddr_in ipv4{};
  ipv4.sin_family = AF_INET;
  memcpy(&ipv4.sin_addr, kDestinationV4, sizeof kDestinationV4);
  sockaddr_in6 ipv6{};
  ipv6.sin6_family = AF_INET6;
  memcpy(&ipv6.sin6_addr, kDestinationV6, sizeof kDestinationV6);
  const sockaddr* to = family == AF_INET ? reinterpret_cast<sockaddr*>(&ipv4) : reinterpret_cast<sockaddr*>(&ipv6);
  const socklen_t size = family == AF_INET ? sizeof ipv4 : sizeof ipv6;
  return sendto(raw.fd(), packet.data(), packet.size(), 0, to, size) < 0 ? errno : 0;
}

TEST("wire: a long datagram over IPv6 leaves in fragments, which the kernel makes behind the guard") {
  const GuardedPod pod;
  const Wire wire;
  const Socket udp(AF_INET6, SOCK_DGRAM, 0);
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(kDestinationPort);
  memcpy(&to.sin6_addr, kDestinationV6, sizeof kDestinationV6);
  const Bytes datagram(4000);
  CHECK_EQUAL(sendto(udp.fd(), datagram.data(), datagram.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to), 4000);
  CHECK_EQUAL(wire.Fragments(), 3);
  CHECK_EQUAL(pod.Refused(), 0u);
}

TEST("wire: fragments that a process makes itself leave over IPv6 where they hold no TCP") {
  const GuardedPod pod;
  const Wire wire;
  CHECK_EQUAL(SendRaw(AF_INET6, Ipv6(kFragment, Fragment(kUdp, 0, true, Udp()))), 0);
  CHECK_EQUAL(SendRaw(AF_INET6, Ipv6(kFragment, Fragment(kUdp, 1, false, Bytes(8)))), 0);
  CHECK_EQUAL(wire.Fragments(), 2);
  CHECK_EQUAL(SendRaw(AF_INET6, Ipv6(kFragment, Fragment(kTcp, 0, true, Tcp(kSyn)))), EPERM);
  CHECK_EQUAL(SendRaw(AF_INET6, Ipv6(kFragment, Fragment(kDestination, 0, true, Extension(kTcp, Tcp(kSyn))))), EPERM);
  CHECK_EQUAL(wire.Fragments(), 0);
  CHECK_EQUAL(pod.Refused(), 2u);
}

// Most kernels refuse by themselves to send them (EINVAL), older ones leave it to the guard (raw_send_hdrinc()).
TEST("wire: no header of less than five words leaves over IPv4") {
  const GuardedPod pod;
  const Wire wire;
  for (uint8_t words = 0; words < 5; words++) {
    const int error = SendRaw(AF_INET, Ipv4(kTcp, Tcp(kAck), {.words = words, .options = {}}));
    CHECK(error == EPERM || error == EINVAL);
  }
  CHECK_EQUAL(wire.Count(kIpv4, 9, kTcp), 0);
  CHECK_EQUAL(SendRaw(AF_INET, Ipv4(kTcp, Tcp(kAck))), 0);
  CHECK_EQUAL(wire.Count(kIpv4, 9, kTcp), 1);
}

}  // namespace
}  // namespace weft::test
