/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Nothing leaves an enrolled pod around the agent: marks and routes can be escaped (SO_BINDTODEVICE, SO_MARK, raw
 * sockets), the device a SYN leaves by cannot. Runs in ip_finish_output(), before fragmentation, so a fragment here was
 * made by the sender.
 */
#pragma once

#include "maps.h"
#include "outbound.h"
#include "packet.h"
#include "skip.h"

/*
 * bpf_get_netns_cookie() exists for these programs from Linux 6.15 on. The verifier forbids arithmetic on a typed
 * socket pointer, so its value is copied out of the stack as a plain number, from which CO-RE reads can start.
 */
static __always_inline __u64 netns_cookie_of(struct bpf_sock *socket)
{
	struct bpf_sock *volatile slot = socket;
	struct sock *sk = NULL;

	bpf_probe_read_kernel(&sk, sizeof(sk), (const void *)&slot);
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, net_cookie);
}

/*
 * Of a connection that the agent carries, on its way to the agent: marked, or to an address from which the agent dials.
 * It is here where somebody has taken the pod's rule or routes away.
 */
static __always_inline bool is_captured(struct __sk_buff *skb, const struct tcp_tuple *tuple)
{
	return skb->mark == WEFT_MARK || address_in_source_block(&tuple->destination);
}

SEC("cgroup_skb/egress")
int weft_egress(struct __sk_buff *skb)
{
	struct tcp_tuple tuple = {};
	enum packet_kind kind;
	struct bpf_sock *socket = skb->sk;
	struct pod *pod;
	__u64 cookie;

	if (skb->ifindex == LOOPBACK_IFINDEX || !socket)
		return ALLOW;
	kind = read_packet(skb, &tuple);
	if (kind == PACKET_OTHER && !is_captured(skb, &tuple))
		return ALLOW;
	cookie = netns_cookie_of(socket);
	pod = bpf_map_lookup_elem(&pods, &cookie);
	if (!pod || is_agent_cgroup(bpf_skb_cgroup_id(skb)))
		return ALLOW;
	if (kind == PACKET_SYN && port_is_skipped(pod->id, WEFT_OUTBOUND, tuple.destination_port))
		return ALLOW;
	count(WEFT_DROPPED_EGRESS);
	return REFUSE;
}
