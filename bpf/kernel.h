/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * What the programs need of the kernel's own types and constants. libbpf relocates the offsets when it loads the object
 * (CO-RE), so only names and nesting have to agree; <sys/socket.h> cannot be included for this target (stubs-32.h is
 * missing on amd64).
 */
#pragma once

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

/* The verifier wants each 32-bit field of a context read or written by itself; clang likes to join neighbours. */
#define ONCE(field) (*(volatile __u32 *)&(field))

#define AF_INET		 2
#define AF_INET6	 10
#define SOCK_STREAM	 1
#define SOL_SOCKET	 1
#define SO_MARK		 36
#define IPPROTO_HOPOPTS	 0
#define IPPROTO_TCP	 6
#define IPPROTO_ROUTING	 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_DSTOPTS	 60
#define IPPROTO_MPTCP	 262
#define ETH_P_IP	 0x0800
#define ETH_P_IPV6	 0x86dd
#define TC_ACT_UNSPEC	 (-1)
#define TC_ACT_SHOT	 2
#define LOOPBACK_IFINDEX 1 /* the first device of every network namespace: drivers/net/loopback.c */

struct net {
	__u64 net_cookie;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} possible_net_t;

struct sock_common {
	possible_net_t skc_net;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
} __attribute__((preserve_access_index));
