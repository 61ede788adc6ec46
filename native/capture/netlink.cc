#include "netlink.h"

#include <linux/fib_rules.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>
#include <optional>

#include "../../bpf/weft.h"
#include "descriptor.h"
#include "error.h"

namespace weft::capture {
namespace {

constexpr uint32_t kLoopback = 1;

class Request {
 public:
  template <typename Body>
  Request(uint16_t type, uint16_t flags, const Body& body) {
    header()->nlmsg_type = type;
    header()->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    header()->nlmsg_len = NLMSG_LENGTH(sizeof body);
    memcpy(NLMSG_DATA(header()), &body, sizeof body);
  }

  Request& Add(uint16_t type, const void* data, size_t size) {
    auto* attribute = reinterpret_cast<rtattr*>(buffer_ + NLMSG_ALIGN(header()->nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = RTA_LENGTH(size);
    memcpy(RTA_DATA(attribute), data, size);
    header()->nlmsg_len = NLMSG_ALIGN(header()->nlmsg_len) + RTA_ALIGN(attribute->rta_len);
    return *this;
  }

  Request& Add(uint16_t type, uint32_t value) { return Add(type, &value, sizeof value); }

  // Returns 0 or the kernel's errno.
  int Send() {
    const auto result = Exchange<nlmsgerr>(NLMSG_ERROR);
    return result ? -result->error : EIO;
  }

  // Returns what the answer begins with, or nothing where it is of another type.
  template <typename Body>
  std::optional<Body> Exchange(uint16_t type) {
    const Descriptor netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    if (!netlink) ThrowErrno("cannot open a netlink socket");
    if (send(netlink.get(), buffer_, header()->nlmsg_len, 0) < 0) ThrowErrno("cannot send to netlink");
    alignas(nlmsghdr) char answer[4096];
    const ssize_t size = recv(netlink.get(), answer, sizeof answer, 0);
    if (size < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(Body)))) ThrowError(EIO, "netlink gave no answer");
    const auto* answered = reinterpret_cast<const nlmsghdr*>(answer);
    if (answered->nlmsg_type != type) return std::nullopt;
    Body body;
    memcpy(&body, NLMSG_DATA(answered), sizeof body);
    return body;
  }

 private:
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(buffer_); }

  alignas(nlmsghdr) char buffer_[512] = {};
};

struct Family {
  uint8_t number;
  size_t address_size;
  const uint8_t* source_block;
  uint8_t source_block_length;
  const uint8_t* proof;
};

Family FamilyOf(bool ipv4) {
  static constexpr uint8_t kBlockV4[4] = {WEFT_SOURCE_PREFIX_V4 >> 24, (WEFT_SOURCE_PREFIX_V4 >> 16) & 0xff,
                                          (WEFT_SOURCE_PREFIX_V4 >> 8) & 0xff, WEFT_SOURCE_PREFIX_V4 & 0xff};
  static constexpr uint8_t kProofV4[4] = {WEFT_PROOF_PREFIX_V4 >> 24, (WEFT_PROOF_PREFIX_V4 >> 16) & 0xff,
                                          (WEFT_PROOF_PREFIX_V4 >> 8) & 0xff, WEFT_PROOF_PREFIX_V4 & 0xff};
  static constexpr uint8_t kBlockV6[16] = {0xfd, 0x77, 0x65, 0x66, 0x74};
  static constexpr uint8_t kProofV6[16] = {0xfd, 0x77, 0x65, 0x66, 0x74, 0, 0, 1};
  if (ipv4) return {AF_INET, 4, kBlockV4, WEFT_SOURCE_PREFIX_LENGTH_V4, kProofV4};
  return {AF_INET6, 16, kBlockV6, 64, kProofV6};
}

Request Rule(const Family& family, uint16_t type, uint16_t flags) {
  fib_rule_hdr body{};
  body.family = family.number;
  body.action = FR_ACT_TO_TBL;
  body.table = RT_TABLE_UNSPEC;
  return Request(type, flags, body)
      .Add(FRA_PRIORITY, WEFT_RULE_PRIORITY)
      .Add(FRA_FWMARK, WEFT_MARK)
      .Add(FRA_FWMASK, 0xffffffff)
      .Add(FRA_TABLE, WEFT_ROUTE_TABLE);
}

Request LocalRoute(const Family& family, uint16_t type, uint16_t flags, uint8_t prefix_length, uint32_t table) {
  rtmsg body{};
  body.rtm_family = family.number;
  body.rtm_dst_len = prefix_length;
  body.rtm_table = RT_TABLE_UNSPEC;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = RT_SCOPE_HOST;
  body.rtm_type = RTN_LOCAL;
  return Request(type, flags, body).Add(RTA_OIF, kLoopback).Add(RTA_TABLE, table);
}

bool IsLocal(const Family& family, const uint8_t* destination, uint32_t mark) {
  rtmsg body{};
  body.rtm_family = family.number;
  body.rtm_dst_len = static_cast<uint8_t>(family.address_size * 8);
  const auto route = Request(RTM_GETROUTE, 0, body)
                         .Add(RTA_DST, destination, family.address_size)
                         .Add(RTA_MARK, mark)
                         .Exchange<rtmsg>(RTM_NEWROUTE);
  return route && route->rtm_type == RTN_LOCAL;
}

void Check(int error, int tolerated, const char* what) {
  if (error != 0 && error != tolerated) ThrowError(error, what);
}

}  // namespace

void BringLoopbackUp() {
  ifinfomsg body{};
  body.ifi_index = kLoopback;
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  Check(Request(RTM_NEWLINK, 0, body).Send(), 0, "cannot bring lo up");
}

void AddCaptureRoutes(const Address& source) {
  const Family family = FamilyOf(IsIpv4(source));
  const uint8_t* source_bytes = source.data() + (source.size() - family.address_size);
  Check(LocalRoute(family, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, 0, WEFT_ROUTE_TABLE)
            .Add(RTA_PREFSRC, source_bytes, family.address_size)
            .Send(),
        0, "cannot add the capture route");
  Check(LocalRoute(family, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, family.source_block_length, RT_TABLE_LOCAL)
            .Add(RTA_DST, family.source_block, family.address_size)
            .Send(),
        0, "cannot add the route of the source block");
  Check(Rule(family, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL).Send(), EEXIST, "cannot add the capture rule");
}

bool CaptureRoutesWork(bool ipv4) {
  const Family family = FamilyOf(ipv4);
  return IsLocal(family, family.proof, WEFT_MARK) && IsLocal(family, family.source_block, 0);
}

void RemoveCaptureRoutes(bool ipv4) {
  const Family family = FamilyOf(ipv4);
  const int rule_error = Rule(family, RTM_DELRULE, 0).Send();
  if (rule_error == EAFNOSUPPORT) return;
  Check(rule_error, ENOENT, "cannot remove the capture rule");
  Check(LocalRoute(family, RTM_DELROUTE, 0, 0, WEFT_ROUTE_TABLE).Send(), ESRCH, "cannot remove the capture route");
  Check(LocalRoute(family, RTM_DELROUTE, 0, family.source_block_length, RT_TABLE_LOCAL)
            .Add(RTA_DST, family.source_block, family.address_size)
            .Send(),
        ESRCH, "cannot remove the route of the source block");
}

}  // namespace weft::capture
