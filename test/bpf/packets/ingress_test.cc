// What reaches a pod's device: SYNs that nobody would take are dropped in silence, all else is the stack's
// (bpf/inbound.h).
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../native/test/check.h"
#include "kernel.h"

namespace weft::test {
namespace {

constexpr int kPassed = -1, kDropped = 2;  // TC_ACT_UNSPEC, TC_ACT_SHOT

// The pod is the destination of every frame.
class MeshedPod : public Kernel {
 public:
  MeshedPod() : Kernel(object_file) {
    Put("addresses", AddressV4(kDestinationV4), pod_address{kPod, 1});
    Put("addresses", AddressV6(kDestinationV6), pod_address{kPod, 1});
  }
  int Verdict(const Bytes& frame) const { return Run("weft_ingress", frame, kDevice); }
};

// A worker's listener. The map lets go of a socket that is closed.
class Listener {
 public:
  explicit Listener(const Kernel& kernel) : socket_(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    CHECK_EQUAL(listen(socket_, 1), 0);
    kernel.Put("listeners", listener_key{kPod, 0}, uint64_t(socket_));
  }
  ~Listener() { close(socket_); }
  Listener(const Listener&) = delete;

 private:
  const int socket_;
};

const Bytes kSynV4 = Ethernet(kIpv4, Ipv4(kTcp, Tcp(kSyn))), kSynV6 = Ethernet(kIpv6, Ipv6(kTcp, Tcp(kSyn)));

TEST("ingress: without a listener SYNs are dropped, with one they pass") {
  const MeshedPod pod;
  CHECK_EQUAL(pod.Verdict(kSynV4), kDropped);
  CHECK_EQUAL(pod.Verdict(kSynV6), kDropped);
  CHECK_EQUAL(pod.Verdict(Ethernet(kIpv6, Ipv6(kDestination, Extension(kTcp, Tcp(kSyn))))), kDropped);
  CHECK_EQUAL(pod.Counter(WEFT_DROPPED_NO_AGENT), 3u);
  {
    const Listener listener(pod);
    CHECK_EQUAL(pod.Verdict(kSynV4), kPassed);
    CHECK_EQUAL(pod.Verdict(kSynV6), kPassed);
  }
  CHECK_EQUAL(pod.Verdict(kSynV4), kDropped);
}

// A client takes every other port in turn (__inet_hash_connect()).
TEST("ingress: connections that a client opens one after the other spread over the workers") {
  const MeshedPod pod;
  constexpr uint32_t kWorkers = 4, kConnections = 64;
  const Listener first(pod);
  pod.Put("addresses", AddressV4(kDestinationV4), pod_address{kPod, kWorkers});
  for (uint16_t start = 32768; start < 60000; start = static_cast<uint16_t>(start + 2 * kConnections)) {
    uint32_t of_first = 0;
    for (uint16_t i = 0; i < kConnections; i++) {
      const Bytes syn = Tcp(kSyn, static_cast<uint16_t>(start + 2 * i));
      if (pod.Verdict(Ethernet(kIpv4, Ipv4(kTcp, syn))) == kPassed) of_first++;
    }
    CHECK(of_first >= 4 && of_first <= 32);
  }
}

TEST("ingress: what opens no connection passes") {
  const MeshedPod pod;
  for (const uint8_t flags : {kSyn | kAck, +kAck, +kRst, kFin | kAck, kPsh | kAck}) {
    CHECK_EQUAL(pod.Verdict(Ethernet(kIpv4, Ipv4(kTcp, Tcp(flags)))), kPassed);
    CHECK_EQUAL(pod.Verdict(Ethernet(kIpv6, Ipv6(kTcp, Tcp(flags)))), kPassed);
  }
  const Bytes others[] = {
      Ethernet(kIpv4, Ipv4(kUdp, Udp())),
      Ethernet(kIpv6, Ipv6(kUdp, Udp())),
      Ethernet(kIpv6, Ipv6(kIcmpv6, Bytes(8))),
      Ethernet(kIpv4, Ipv4(kTcp, Tcp(kSyn), {.fragment = kMoreFragments, .options = {}})),
      Ethernet(kIpv6, Ipv6(kFragment, Fragment(kTcp, 0, true, Tcp(kSyn)))),
      Ethernet(kArp, Bytes(28)),
  };
  for (const Bytes& frame : others) CHECK_EQUAL(pod.Verdict(frame), kPassed);
}

// The stack itself refuses these: ip_rcv_core(), tcp_v4_rcv().
TEST("ingress: what the stack refuses passes, whatever it looks like") {
  const MeshedPod pod;
  for (uint8_t words = 0; words < 5; words++) {
    const Bytes frame = Ethernet(kIpv4, Ipv4(kTcp, Tcp(kSyn), {.words = words, .options = {}}));
    CHECK_EQUAL(pod.Verdict(frame), kPassed);
  }
  for (size_t size = 34; size < 34 + 14; size++) CHECK_EQUAL(pod.Verdict(CutTo(kSynV4, size)), kPassed);
  for (size_t size = 54; size < 54 + 14; size++) CHECK_EQUAL(pod.Verdict(CutTo(kSynV6, size)), kPassed);
}

// The stack takes the tag off before it asks the device's programs, and puts what carried a foreign one aside.
TEST("ingress: a tagged frame is not ours") {
  const MeshedPod pod;
  CHECK_EQUAL(pod.Verdict(Ethernet(kVlan, VlanTag(kIpv4, Ipv4(kTcp, Tcp(kSyn))))), kPassed);
}

TEST("ingress: a SYN to somebody else passes") {
  const Kernel kernel(object_file);
  CHECK_EQUAL(kernel.Run("weft_ingress", kSynV4, kDevice), kPassed);
  CHECK_EQUAL(kernel.Run("weft_ingress", kSynV6, kDevice), kPassed);
}

TEST("ingress: a SYN to a link-local address is dropped, listener or not") {
  const MeshedPod pod;
  const Listener listener(pod);
  CHECK_EQUAL(pod.Verdict(Ethernet(kIpv6, Ipv6(kTcp, Tcp(kSyn), kLinkLocalV6))), kDropped);
  CHECK_EQUAL(pod.Verdict(Ethernet(kIpv6, Ipv6(kTcp, Tcp(kAck), kLinkLocalV6))), kPassed);
  CHECK_EQUAL(pod.Verdict(Ethernet(kIpv6, Ipv6(kUdp, Udp(), kLinkLocalV6))), kPassed);
}

TEST("ingress: probes, skipped ports and skipped clients pass without an agent") {
  const MeshedPod pod;
  const probe_key probe{AddressV4(kSourceV4), AddressV4(kDestinationV4), htons(kSourcePort), htons(kDestinationPort)};
  pod.Put("probes", probe, uint8_t{1});
  CHECK_EQUAL(pod.Verdict(kSynV4), kPassed);
  CHECK_EQUAL(pod.Verdict(kSynV6), kDropped);
  pod.Remove("probes", probe);
  CHECK_EQUAL(pod.Verdict(kSynV4), kDropped);

  const skip_port_key port{64, htonl(kPod), htons(WEFT_INBOUND), htons(kDestinationPort)};
  pod.Put("skip_ports", port, uint8_t{1});
  CHECK_EQUAL(pod.Verdict(kSynV4), kPassed);
  CHECK_EQUAL(pod.Verdict(kSynV6), kPassed);
  pod.Remove("skip_ports", port);
  CHECK_EQUAL(pod.Verdict(kSynV4), kDropped);

  const skip_subnet_key subnet{32 + 96 + 8, htonl(kPod), AddressV4({10, 0, 0, 0})};
  pod.Put("skip_subnets", subnet, uint8_t{1});
  CHECK_EQUAL(pod.Verdict(kSynV4), kPassed);
  CHECK_EQUAL(pod.Verdict(kSynV6), kDropped);
}

}  // namespace
}  // namespace weft::test
