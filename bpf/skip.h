/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

#include "maps.h"

static __always_inline bool port_is_skipped(__u32 pod, enum direction direction, __be16 port)
{
	struct skip_port_key key = {
	    .prefix_length = 32 + 16 + 16,
	    .pod = bpf_htonl(pod),
	    .direction = bpf_htons(direction),
	    .port = port,
	};

	return bpf_map_lookup_elem(&skip_ports, &key) != NULL;
}

static __always_inline bool source_is_skipped(__u32 pod, const struct address *source)
{
	struct skip_subnet_key key = {
	    .prefix_length = 32 + 128,
	    .pod = bpf_htonl(pod),
	    .address = *source,
	};

	return bpf_map_lookup_elem(&skip_subnets, &key) != NULL;
}
