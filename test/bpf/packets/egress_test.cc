// What leaves a pod by a device: no TCP connection attempt, and nothing that may hide one (bpf/guard.h).
#include <arpa/inet.h>

#include <tuple>

#include "../../../native/test/check.h"
#include "cgroup.h"
#include "kernel.h"

namespace weft::test {
namespace {

constexpr int kRefused = 0, kAllowed = 1;  // what a program of cgroup_skb returns

struct Case {
  std::string name;
  Bytes frame;
  int verdict;
};

Bytes V4(uint8_t protocol, const Bytes& payload, const Ipv4Fields& fields = {}) {
  return Ethernet(kIpv4, Ipv4(protocol, payload, fields));
}
Bytes V6(uint8_t next, const Bytes& payload) { return Ethernet(kIpv6, Ipv6(next, payload)); }

// Of IPv6: `count` extension headers before what is told.
Bytes Behind(int count, uint8_t next, Bytes payload) {
  for (int i = 0; i < count; i++) {
    payload = Extension(next, payload);
    next = kDestination;
  }
  return V6(next, payload);
}

std::vector<Case> Flags() {
  std::vector<Case> cases;
  for (int flags = 0; flags < 256; flags++) {
    const bool opens = (flags & kSyn) != 0 && (flags & kAck) == 0;
    const std::string name = "flags " + std::to_string(flags);
    cases.push_back({"IPv4, " + name, V4(kTcp, Tcp(static_cast<uint8_t>(flags))), opens ? kRefused : kAllowed});
    cases.push_back({"IPv6, " + name, V6(kTcp, Tcp(static_cast<uint8_t>(flags))), opens ? kRefused : kAllowed});
  }
  return cases;
}

std::vector<Case> OverIpv4() {
  const Bytes padding(40, 1);                // no operation
  const Bytes decoy = Tcp(kAck) + Bytes(4);  // options that look like a segment of an open connection
  return {
      {"UDP", V4(kUdp, Udp()), kAllowed},
      {"ICMP", V4(kIcmp, Bytes(8)), kAllowed},
      {"SYN, do not fragment", V4(kTcp, Tcp(kSyn), {.fragment = kDontFragment, .options = {}}), kRefused},
      {"ACK, do not fragment", V4(kTcp, Tcp(kAck), {.fragment = kDontFragment, .options = {}}), kAllowed},
      {"SYN behind options", V4(kTcp, Tcp(kSyn), {.words = 15, .options = padding}), kRefused},
      {"ACK behind options", V4(kTcp, Tcp(kAck), {.words = 15, .options = padding}), kAllowed},
      {"SYN behind options like a segment", V4(kTcp, Tcp(kSyn), {.words = 11, .options = decoy}), kRefused},
      {"first fragment of TCP", V4(kTcp, Tcp(kAck), {.fragment = kMoreFragments, .options = {}}), kRefused},
      {"later fragment of TCP", V4(kTcp, Tcp(kAck), {.fragment = 3, .options = {}}), kRefused},
      {"first fragment of UDP", V4(kUdp, Udp(), {.fragment = kMoreFragments, .options = {}}), kAllowed},
      {"later fragment of UDP", V4(kUdp, Udp(), {.fragment = 3, .options = {}}), kAllowed},
      {"header longer than the packet", V4(kTcp, Tcp(kAck), {.words = 15, .options = {}}), kRefused},
      {"UDP, header longer than the packet", V4(kUdp, Udp(), {.words = 15, .options = {}}), kAllowed},
  };
}

// No header is that short; read at its word, the flags would be found within it.
std::vector<Case> ShortHeadersOverIpv4() {
  std::vector<Case> cases;
  for (uint8_t words = 0; words < 5; words++) {
    for (const uint8_t flags : {kSyn, kAck}) {
      const std::string name =
          (flags == kSyn ? "SYN, header of " : "ACK, header of ") + std::to_string(words) + " words";
      cases.push_back({name, V4(kTcp, Tcp(flags), {.words = words, .options = {}}), kRefused});
    }
    cases.push_back({"UDP, header of " + std::to_string(words) + " words",
                     V4(kUdp, Udp(), {.words = words, .options = {}}), kAllowed});
  }
  return cases;
}

std::vector<Case> OverIpv6() {
  std::vector<Case> cases = {
      {"UDP", V6(kUdp, Udp()), kAllowed},
      {"ICMPv6", V6(kIcmpv6, Bytes(8)), kAllowed},
      {"no next header", V6(kNoNext, Tcp(kSyn)), kAllowed},
      {"ESP", V6(kEsp, Tcp(kSyn)), kAllowed},
      {"SYN behind a long extension", V6(kDestination, Extension(kTcp, Tcp(kSyn), 31)), kRefused},
      {"ACK behind a long extension", V6(kDestination, Extension(kTcp, Tcp(kAck), 31)), kAllowed},
      {"extension longer than the packet", CutTo(V6(kDestination, Extension(kTcp, Tcp(kAck), 31)), 14 + 40 + 60),
       kRefused},
      {"SYN behind 5 extensions", Behind(5, kTcp, Tcp(kSyn)), kRefused},
      {"ACK behind 5 extensions", Behind(5, kTcp, Tcp(kAck)), kAllowed},
      {"UDP behind 5 extensions", Behind(5, kUdp, Udp()), kAllowed},
      {"more extensions than anybody needs", Behind(6, kTcp, Tcp(kAck)), kRefused},
  };
  for (const uint8_t extension : {kHopByHop, kRouting, kDestination}) {
    const std::string behind = " behind extension " + std::to_string(extension);
    cases.push_back({"SYN" + behind, V6(extension, Extension(kTcp, Tcp(kSyn))), kRefused});
    cases.push_back({"ACK" + behind, V6(extension, Extension(kTcp, Tcp(kAck))), kAllowed});
    cases.push_back({"UDP" + behind, V6(extension, Extension(kUdp, Udp())), kAllowed});
  }
  return cases;
}

// The fragment's header tells what the whole begins with; behind another extension anything may come.
std::vector<Case> FragmentsOverIpv6() {
  std::vector<Case> cases;
  for (const auto& [name, offset, more] : {std::tuple{"first", 0, true}, std::tuple{"later", 3, true},
                                           std::tuple{"last", 3, false}, std::tuple{"only", 0, false}}) {
    const auto fragment = [&](uint8_t next, const Bytes& payload) {
      return Fragment(next, static_cast<uint16_t>(offset), more, payload);
    };
    const std::string of = std::string(name) + " fragment of ";
    cases.push_back({of + "TCP", V6(kFragment, fragment(kTcp, Tcp(kAck))), kRefused});
    cases.push_back({of + "UDP", V6(kFragment, fragment(kUdp, Udp())), kAllowed});
    cases.push_back({of + "ICMPv6", V6(kFragment, fragment(kIcmpv6, Bytes(8))), kAllowed});
    cases.push_back(
        {of + "TCP behind an extension", V6(kRouting, Extension(kFragment, fragment(kTcp, Tcp(kAck)))), kRefused});
    cases.push_back(
        {of + "UDP behind an extension", V6(kRouting, Extension(kFragment, fragment(kUdp, Udp()))), kAllowed});
    for (const uint8_t next : {kHopByHop, kRouting, kDestination, kFragment})
      cases.push_back({of + "extension " + std::to_string(next),
                       V6(kFragment, fragment(next, Extension(kTcp, Tcp(kSyn)))), kRefused});
  }
  cases.push_back(
      {"fragment that is cut off", CutTo(V6(kFragment, Fragment(kUdp, 0, true, Udp())), 14 + 40 + 1), kRefused});
  return cases;
}

// From where the header says TCP on, what cannot be read is not let out.
std::vector<Case> Truncated() {
  std::vector<Case> cases;
  for (const auto& [name, frame, header] :
       {std::tuple{"IPv4", V4(kTcp, Tcp(kAck)), size_t{34}}, std::tuple{"IPv6", V6(kTcp, Tcp(kAck)), size_t{54}}}) {
    for (size_t size = header; size < frame.size(); size++)
      cases.push_back({std::string(name) + " of " + std::to_string(size), CutTo(frame, size),
                       size < header + 14 ? kRefused : kAllowed});
  }
  return cases;
}

std::vector<Case> OtherProtocols() {
  return {
      {"ARP", Ethernet(kArp, Bytes(28)), kAllowed},
      // Only AF_PACKET sends tagged frames, and that does not come by here.
      {"VLAN", Ethernet(kVlan, VlanTag(kIpv4, Ipv4(kTcp, Tcp(kSyn)))), kAllowed},
  };
}

std::vector<Case> All() {
  std::vector<Case> all;
  for (const auto& cases :
       {Flags(), OverIpv4(), ShortHeadersOverIpv4(), OverIpv6(), FragmentsOverIpv6(), Truncated(), OtherProtocols()})
    all.insert(all.end(), cases.begin(), cases.end());
  return all;
}

void Expect(const Kernel& kernel, const std::vector<Case>& cases, const char* device = kDevice) {
  std::string wrong;
  for (const Case& one : cases) {
    const int verdict = kernel.Run("weft_egress", one.frame, device);
    if (verdict != one.verdict) wrong += "\n  " + one.name + ": " + (verdict == kAllowed ? "allowed" : "refused");
  }
  if (!wrong.empty()) throw std::runtime_error("wrong verdicts:" + wrong);
}

std::vector<Case> Allowed(std::vector<Case> cases) {
  for (Case& one : cases) one.verdict = kAllowed;
  return cases;
}

#define EGRESS_TEST(name, cases)      \
  TEST(name) {                        \
    const Kernel kernel(object_file); \
    kernel.Enrol();                   \
    Expect(kernel, cases);            \
  }

EGRESS_TEST("egress: only SYN without ACK opens a connection", Flags())
EGRESS_TEST("egress: IPv4 with options and fragments", OverIpv4())
EGRESS_TEST("egress: IPv4 headers of less than five words", ShortHeadersOverIpv4())
EGRESS_TEST("egress: IPv6 with extension headers", OverIpv6())
EGRESS_TEST("egress: IPv6 fragments", FragmentsOverIpv6())
EGRESS_TEST("egress: truncated TCP headers", Truncated())
EGRESS_TEST("egress: neither IPv4 nor IPv6", OtherProtocols())

TEST("egress: what is refused is counted") {
  const Kernel kernel(object_file);
  kernel.Enrol();
  Expect(kernel, {{"SYN", V4(kTcp, Tcp(kSyn)), kRefused}, {"ACK", V4(kTcp, Tcp(kAck)), kAllowed}});
  CHECK_EQUAL(kernel.Counter(WEFT_DROPPED_EGRESS), 1u);
}

TEST("egress: everything leaves a pod that is not enrolled, or has left") {
  const Kernel kernel(object_file);
  Expect(kernel, Allowed(All()));
  kernel.Enrol();
  kernel.Leave();
  Expect(kernel, Allowed(All()));
  CHECK_EQUAL(kernel.Counter(WEFT_DROPPED_EGRESS), 0u);
}

TEST("egress: everything stays possible on lo") {
  const Kernel kernel(object_file);
  kernel.Enrol();
  Expect(kernel, Allowed(All()), "lo");
}

TEST("egress: a skipped port lets SYNs out, not what hides its port") {
  const Kernel kernel(object_file);
  kernel.Enrol();
  kernel.Put("skip_ports", skip_port_key{64, htonl(kPod), htons(WEFT_OUTBOUND), htons(kDestinationPort)}, uint8_t{1});
  Expect(kernel, {{"SYN", V4(kTcp, Tcp(kSyn)), kAllowed},
                  {"SYN over IPv6", V6(kTcp, Tcp(kSyn)), kAllowed},
                  {"fragment", V4(kTcp, Tcp(kSyn), {.fragment = kMoreFragments, .options = {}}), kRefused},
                  {"fragment over IPv6", V6(kFragment, Fragment(kTcp, 0, true, Tcp(kSyn))), kRefused}});
}

// They are on their way to the agent, so their plaintext must not go elsewhere.
TEST("egress: packets of connections that the agent carries leave only by lo") {
  const Kernel kernel(object_file);
  kernel.Enrol();
  const Bytes data = Tcp(kAck | kPsh) + Bytes(6, 's');
  for (const Bytes& frame : {V4(kTcp, data), V6(kTcp, data), V6(kDestination, Extension(kTcp, data))}) {
    CHECK_EQUAL(kernel.Run("weft_egress", frame, kDevice, WEFT_MARK), kRefused);
    CHECK_EQUAL(kernel.Run("weft_egress", frame, kDevice, WEFT_MARK ^ 1), kAllowed);
    CHECK_EQUAL(kernel.Run("weft_egress", frame, "lo", WEFT_MARK), kAllowed);
  }
  const std::vector<Case> to_agent = {
      {"IPv4", Ethernet(kIpv4, Ipv4(kTcp, data, {}, kSourceBlockV4)), kRefused},
      {"IPv6", Ethernet(kIpv6, Ipv6(kTcp, data, kSourceBlockV6)), kRefused},
      {"UDP over IPv4", Ethernet(kIpv4, Ipv4(kUdp, Udp(), {}, kSourceBlockV4)), kAllowed},
  };
  Expect(kernel, to_agent);
  Expect(kernel, Allowed(to_agent), "lo");
  kernel.Leave();
  Expect(kernel, Allowed(to_agent));
}

TEST("egress: the agent's own cgroup dials") {
  const Kernel kernel(object_file);
  kernel.Enrol();
  const uint64_t own = CgroupId(OwnCgroup());
  kernel.Put("agent_cgroups", own, uint8_t{1});
  Expect(kernel, Allowed(All()));
  kernel.Remove("agent_cgroups", own);
  Expect(kernel, {{"SYN", V4(kTcp, Tcp(kSyn)), kRefused}});
}

}  // namespace
}  // namespace weft::test
