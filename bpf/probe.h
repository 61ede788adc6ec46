/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Attached to the kubelet's cgroup alone: what it dials is a probe from connect() until the socket closes, and reaches
 * the app with its address unchanged. Another process of the host is not a probe.
 */
#pragma once

#include "client.h"

SEC("sockops")
int weft_probe(struct bpf_sock_ops *ctx)
{
	struct probe_key key = {};
	__u8 present = 1;

	if (ctx->op != BPF_SOCK_OPS_TCP_CONNECT_CB && ctx->op != BPF_SOCK_OPS_STATE_CB)
		return 1;
	read_sockops_addresses(ctx, &key.source, &key.destination);
	key.source_port = bpf_htons((__u16)ctx->local_port);
	key.destination_port = remote_port_of(ctx);
	if (ctx->op == BPF_SOCK_OPS_STATE_CB) {
		if (ctx->args[1] == BPF_TCP_CLOSE)
			bpf_map_delete_elem(&probes, &key);
		return 1;
	}
	if (!bpf_map_lookup_elem(&addresses, &key.destination))
		return 1;
	bpf_map_update_elem(&probes, &key, &present, BPF_ANY);
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	return 1;
}
