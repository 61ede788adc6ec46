/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The pinned state. Another layout of a key or a value is migrated by name: native/capture/layout.cc. */
#pragma once

#include "kernel.h"
#include "weft.h"

#define WEFT_MAX_SKIPS	 65536
#define WEFT_MAX_CLIENTS 65536
#define WEFT_MAX_PROBES	 8192

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WEFT_MAX_PODS);
	__type(key, __u64);
	__type(value, struct pod);
} pods SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * WEFT_MAX_PODS);
	__type(key, struct address);
	__type(value, struct pod_address);
} addresses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, WEFT_MAX_PODS * 16);
	__type(key, struct listener_key);
	__type(value, __u64);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEFT_MAX_CLIENTS);
	__type(key, struct client_key);
	__type(value, struct client);
} clients SEC(".maps");

/* The client of an app's socket, for as long as that socket lives. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct client);
} socket_clients SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEFT_MAX_SKIPS);
	__type(key, struct skip_port_key);
	__type(value, __u8);
} skip_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, WEFT_MAX_SKIPS);
	__type(key, struct skip_subnet_key);
	__type(value, __u8);
} skip_subnets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WEFT_MAX_PROBES);
	__type(key, struct probe_key);
	__type(value, __u8);
} probes SEC(".maps");

/*
 * Ids of the cgroups of every generation of the agent: each container has one. An id is never used twice before the
 * next boot.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u8);
} agent_cgroups SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, WEFT_COUNTERS);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 counter)
{
	__u64 *cell = bpf_map_lookup_elem(&counters, &counter);

	if (cell)
		*cell += 1;
}
