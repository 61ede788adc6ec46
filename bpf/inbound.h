/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Gives every SYN that reaches an enrolled pod, or that its policy route turned round through lo, to the agent's
 * listener. The helper for the namespace's cookie is not allowed here, so pods are known by address; ingress_ifindex is
 * lo only for the policy route (for a packet to the pod's own address the kernel reports the route's device).
 */
#pragma once

#include "address.h"
#include "maps.h"
#include "packet.h"
#include "skip.h"

static __always_inline bool is_probe(const struct tcp_tuple *tuple)
{
	struct probe_key key = {
	    .source = tuple->source,
	    .destination = tuple->destination,
	    .source_port = tuple->source_port,
	    .destination_port = tuple->destination_port,
	};

	return bpf_map_lookup_elem(&probes, &key) != NULL;
}

static __always_inline bool is_announced_client(const struct tcp_tuple *tuple)
{
	struct client_key key = {
	    .source = tuple->source,
	    .app = tuple->destination,
	    .source_port = tuple->source_port,
	    .app_port = tuple->destination_port,
	};

	return bpf_map_lookup_elem(&clients, &key) != NULL;
}

/* A connection belongs to one worker for good: a retransmitted SYN finds the same one. */
static __always_inline struct listener_key listener_for(const struct tcp_tuple *tuple, const struct pod_address *pod)
{
	__u32 hash = address_word(&tuple->source, 3) ^ address_word(&tuple->destination, 3) ^
		     ((__u32)tuple->source_port << 16 | tuple->destination_port);
	__u32 workers = pod->workers ? pod->workers : 1;

	/* MurmurHash3's finaliser: a client's ports, which differ in a few bits only, spread over all workers. */
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	hash *= 0xc2b2ae35;
	hash ^= hash >> 16;
	return (struct listener_key){.pod = pod->id, .worker = hash % workers};
}

enum inbound_verdict { INBOUND_PASS, INBOUND_CAPTURE, INBOUND_DROP };

static __always_inline enum inbound_verdict judge_inbound(const struct tcp_tuple *tuple, const struct pod_address *pod)
{
	if (address_equals(&tuple->source, &tuple->destination))
		return INBOUND_PASS;
	if (address_in_source_block(&tuple->source))
		return is_announced_client(tuple) ? INBOUND_PASS : INBOUND_DROP;
	if (is_probe(tuple)) {
		count(WEFT_PROBES_PASSED);
		return INBOUND_PASS;
	}
	if (port_is_skipped(pod->id, WEFT_INBOUND, tuple->destination_port) ||
	    source_is_skipped(pod->id, &tuple->source)) {
		count(WEFT_SKIPPED);
		return INBOUND_PASS;
	}
	return INBOUND_CAPTURE;
}

static __always_inline int give_to_listener(struct bpf_sk_lookup *ctx, const struct tcp_tuple *tuple,
					    const struct pod_address *pod)
{
	struct listener_key key = listener_for(tuple, pod);
	struct bpf_sock *listener = bpf_map_lookup_elem(&listeners, &key);
	long error;

	if (!listener) {
		count(WEFT_DROPPED_NO_AGENT);
		return SK_DROP;
	}
	/* The workers' listeners share one port (SO_REUSEPORT); the kernel must not choose among them again. */
	error = bpf_sk_assign(ctx, listener, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(listener);
	if (error)
		return SK_DROP;
	count(WEFT_CAPTURED_INBOUND);
	return SK_PASS;
}

static __always_inline int lookup(struct bpf_sk_lookup *ctx, const struct tcp_tuple *tuple)
{
	struct pod_address *pod;

	if (ctx->ingress_ifindex == LOOPBACK_IFINDEX) {
		if (address_is_loopback(&tuple->destination))
			return SK_PASS;
		pod = bpf_map_lookup_elem(&addresses, &tuple->source);
		return pod ? give_to_listener(ctx, tuple, pod) : SK_PASS;
	}
	pod = bpf_map_lookup_elem(&addresses, &tuple->destination);
	if (!pod)
		return SK_PASS;
	switch (judge_inbound(tuple, pod)) {
	case INBOUND_PASS:
		return SK_PASS;
	case INBOUND_CAPTURE:
		return give_to_listener(ctx, tuple, pod);
	default:
		return SK_DROP;
	}
}

SEC("sk_lookup")
int weft_lookup(struct bpf_sk_lookup *ctx)
{
	struct tcp_tuple tuple = {
	    .source_port = (__be16)ctx->remote_port,
	    .destination_port = bpf_htons(ctx->local_port),
	};

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	if (ctx->family == AF_INET) {
		address_from_ipv4(&tuple.source, ctx->remote_ip4);
		address_from_ipv4(&tuple.destination, ctx->local_ip4);
	} else {
		address_from_context(&tuple.source, ctx->remote_ip6);
		address_from_context(&tuple.destination, ctx->local_ip6);
	}
	return lookup(ctx, &tuple);
}

/*
 * On the pod's own devices. A SYN for which no agent listens is dropped here, as SK_DROP for a local address would
 * answer with RST; so is one to a link-local address, of which sk_lookup could not tell whose it is.
 */
SEC("tc")
int weft_ingress(struct __sk_buff *skb)
{
	struct tcp_tuple tuple = {};
	struct listener_key key;
	struct bpf_sock *listener;
	struct pod_address *pod;

	if (read_packet(skb, &tuple) != PACKET_SYN)
		return TC_ACT_UNSPEC;
	if (address_is_link_local_ipv6(&tuple.destination))
		return TC_ACT_SHOT;
	pod = bpf_map_lookup_elem(&addresses, &tuple.destination);
	if (!pod || judge_inbound(&tuple, pod) != INBOUND_CAPTURE)
		return TC_ACT_UNSPEC;
	key = listener_for(&tuple, pod);
	listener = bpf_map_lookup_elem(&listeners, &key);
	if (listener) {
		bpf_sk_release(listener);
		return TC_ACT_UNSPEC;
	}
	count(WEFT_DROPPED_NO_AGENT);
	return TC_ACT_SHOT;
}
