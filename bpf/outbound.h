/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * A connect() of an enrolled pod gets a mark; the pod's own policy route turns the marked SYN round through lo, and
 * sk_lookup gives it to the agent. No address is rewritten.
 */
#pragma once

#include "address.h"
#include "maps.h"
#include "skip.h"

#define ALLOW  1
#define REFUSE 0 /* connect() fails with EPERM */

static __always_inline bool is_agent_cgroup(__u64 cgroup)
{
	return bpf_map_lookup_elem(&agent_cgroups, &cgroup) != NULL;
}

static __always_inline int redirect_connect(struct bpf_sock_addr *ctx, const struct address *destination)
{
	__u64 cookie = bpf_get_netns_cookie(ctx);
	struct pod *pod = bpf_map_lookup_elem(&pods, &cookie);
	int mark = WEFT_MARK;

	if (!pod)
		return ALLOW;
	if (ctx->type != SOCK_STREAM || (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_MPTCP))
		return ALLOW;
	if (is_agent_cgroup(bpf_get_current_cgroup_id()))
		return ALLOW;
	if (address_is_loopback(destination) || address_equals(destination, &pod->ipv4) ||
	    address_equals(destination, &pod->ipv6))
		return ALLOW;
	if (port_is_skipped(pod->id, WEFT_OUTBOUND, (__be16)ctx->user_port)) {
		count(WEFT_SKIPPED);
		return ALLOW;
	}
	if (bpf_setsockopt(ctx, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		return REFUSE;
	count(WEFT_CAPTURED_OUTBOUND);
	return ALLOW;
}

SEC("cgroup/connect4")
int weft_connect4(struct bpf_sock_addr *ctx)
{
	struct address destination;

	address_from_ipv4(&destination, ctx->user_ip4);
	return redirect_connect(ctx, &destination);
}

/* v4-mapped destinations arrive here too. */
SEC("cgroup/connect6")
int weft_connect6(struct bpf_sock_addr *ctx)
{
	struct address destination;

	address_from_context(&destination, ctx->user_ip6);
	return redirect_connect(ctx, &destination);
}
