/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Structures that the kernel programs share with user space. Fixed-width types only, no implicit padding:
 * test/bpf/layout.test.ts checks every one against the object's BTF.
 *
 * Addresses are 16 bytes in network order; IPv4 is held as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2), so one code path serves
 * both families. Ports named *_port are in host order unless the comment says otherwise.
 */
#pragma once

#include <linux/types.h>

/* fwmark that sends a captured SYN through lo; only the pod's own rule looks at it, so it needs to be unique in a pod.
 */
#define WEFT_MARK	   0x77656674
#define WEFT_ROUTE_TABLE   0x7766
#define WEFT_RULE_PRIORITY 1700

/*
 * Reserved addresses, never routed on a wire. SOURCE is a block of local addresses on every enrolled pod's lo from
 * which the agent dials the app. PROOF is local nowhere: a connection to its first address and WEFT_PROOF_PORT can only
 * arrive at the agent.
 */
#define WEFT_SOURCE_PREFIX_V4	     0xa9fe7400u /* 169.254.116.0/24, host order */
#define WEFT_SOURCE_PREFIX_LENGTH_V4 24
#define WEFT_PROOF_PREFIX_V4	     0xa9fe7500u			/* 169.254.117.0/24, host order */
#define WEFT_SOURCE_PREFIX_V6	     "\xfd\x77\x65\x66\x74\x00\x00\x00" /* fd77:6566:7400:0::/64 */
#define WEFT_PROOF_PREFIX_V6	     "\xfd\x77\x65\x66\x74\x00\x00\x01" /* fd77:6566:7400:1::/64 */
#define WEFT_PROOF_PORT		     9

#define WEFT_MAX_PODS	 1024
#define WEFT_MAX_WORKERS 64

struct address {
	__u8 bytes[16];
} __attribute__((aligned(4)));

/* pods: key is the network namespace's cookie (__u64, SO_NETNS_COOKIE). */
struct pod {
#ifdef WEFT_TEST_CHANGED_LAYOUT
	__u64 added_in_a_later_version;
#endif
	__u32 id;      /* chosen by the agent, unique on the node */
	__u32 workers; /* listeners of this pod: slots 0 .. workers - 1 */
	struct address ipv4;
	struct address ipv6; /* all zero where the pod has none */
};

/* addresses: struct address -> what sk_lookup, which may not ask for the cookie, needs of the pod. */
struct pod_address {
	__u32 id;
	__u32 workers;
};

/* listeners (SOCKHASH): one listening socket per pod and worker. */
struct listener_key {
	__u32 pod;
	__u32 worker;
};

/*
 * clients: written by a worker before it dials an app, taken by the kernel when the app's socket is established.
 * key: the agent's connection as the app's kernel socket sees it.
 */
struct client_key {
	struct address source; /* in the SOURCE block */
	struct address app;    /* the pod's address */
	__be16 source_port;    /* network order */
	__be16 app_port;       /* network order */
};

struct client {
	struct address address; /* the client as accept() and getpeername() shall tell it */
	__be16 port;		/* network order */
	__u16 reserved;
};

/* skip_ports (LPM_TRIE): prefix_length counts from pod on: 32 + 16 + up to 16 bits of the port. */
enum direction { WEFT_INBOUND = 0, WEFT_OUTBOUND = 1 };
struct skip_port_key {
	__u32 prefix_length;
	__be32 pod;	  /* network order, as an LPM trie matches bits from the first byte */
	__be16 direction; /* network order */
	__be16 port;	  /* network order */
};

/* skip_subnets (LPM_TRIE): source addresses that are not captured inbound. prefix_length: 32 + up to 128. */
struct skip_subnet_key {
	__u32 prefix_length;
	__be32 pod; /* network order */
	struct address address;
};

/* probes: connections that the kubelet opened, from connect to close. */
struct probe_key {
	struct address source;
	struct address destination;
	__be16 source_port;	 /* network order */
	__be16 destination_port; /* network order */
};

/* counters: one slot per event, per CPU. */
enum counter {
	WEFT_CAPTURED_OUTBOUND = 0, /* connects marked */
	WEFT_CAPTURED_INBOUND,	    /* SYNs given to a listener */
	WEFT_SKIPPED,
	WEFT_DROPPED_EGRESS,   /* packets that would have gone around the agent */
	WEFT_DROPPED_NO_AGENT, /* SYNs for which no worker listens */
	WEFT_PROBES_PASSED,
	WEFT_COUNTERS
};
