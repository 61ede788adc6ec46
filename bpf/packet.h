/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Recognises TCP connection attempts in packets, as a hostile sender may have written them. */
#pragma once

#include "address.h"

#define IPV4_FRAGMENT_MASK    0x3fff /* more fragments, or an offset */
#define IPV4_MIN_HEADER_WORDS 5
#define IPV6_MAX_EXTENSIONS   6
#define TCP_FLAGS_OFFSET      13
#define TCP_SYN		      0x02
#define TCP_ACK		      0x10

enum packet_kind {
	PACKET_OTHER = 0,
	PACKET_SYN,    /* opens a TCP connection: SYN without ACK */
	PACKET_HIDDEN, /* TCP whose flags cannot be seen: a fragment, behind more extension headers than anybody needs,
			  or in an IPv4 packet that denies its own header */
};

struct tcp_tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
};

static __always_inline long load(struct __sk_buff *skb, __u32 offset, void *to, __u32 length)
{
	return bpf_skb_load_bytes_relative(skb, offset, to, length, BPF_HDR_START_NET);
}

static __always_inline enum packet_kind read_tcp(struct __sk_buff *skb, __u32 offset, struct tcp_tuple *tuple)
{
	__be16 ports[2];
	__u8 flags;

	if (load(skb, offset, ports, sizeof(ports)) || load(skb, offset + TCP_FLAGS_OFFSET, &flags, sizeof(flags)))
		return PACKET_HIDDEN;
	tuple->source_port = ports[0];
	tuple->destination_port = ports[1];
	return (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN ? PACKET_SYN : PACKET_OTHER;
}

static __always_inline enum packet_kind read_ipv4(struct __sk_buff *skb, struct tcp_tuple *tuple)
{
	__u8 header[20], words;

	if (load(skb, 0, header, sizeof(header)))
		return PACKET_OTHER;
	if (header[9] != IPPROTO_TCP)
		return PACKET_OTHER;
	words = header[0] & 0x0f;
	if (words < IPV4_MIN_HEADER_WORDS || ((header[6] << 8) | header[7]) & IPV4_FRAGMENT_MASK)
		return PACKET_HIDDEN;
	address_from_ipv4(&tuple->source, *(__be32 *)(header + 12));
	address_from_ipv4(&tuple->destination, *(__be32 *)(header + 16));
	return read_tcp(skb, words * 4, tuple);
}

static __always_inline bool is_ipv6_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_FRAGMENT;
}

static __always_inline enum packet_kind read_ipv6(struct __sk_buff *skb, struct tcp_tuple *tuple)
{
	__u32 offset = 40;
	__u8 next, extension[2];

	if (load(skb, 6, &next, sizeof(next)) || load(skb, 8, &tuple->source, 16) ||
	    load(skb, 24, &tuple->destination, 16))
		return PACKET_OTHER;
	for (int i = 0; i < IPV6_MAX_EXTENSIONS; i++) {
		if (next == IPPROTO_TCP)
			return read_tcp(skb, offset, tuple);
		if (!is_ipv6_extension(next))
			return PACKET_OTHER;
		if (load(skb, offset, extension, sizeof(extension)))
			return PACKET_HIDDEN;
		/* What the whole begins with counts as its first fragment tells it (RFC 8200, 4.5). */
		if (next == IPPROTO_FRAGMENT)
			return extension[0] == IPPROTO_TCP || is_ipv6_extension(extension[0]) ? PACKET_HIDDEN
											      : PACKET_OTHER;
		next = extension[0];
		offset += (extension[1] + 1) * 8;
	}
	return PACKET_HIDDEN;
}

static __always_inline enum packet_kind read_packet(struct __sk_buff *skb, struct tcp_tuple *tuple)
{
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return read_ipv4(skb, tuple);
	if (skb->protocol == bpf_htons(ETH_P_IPV6))
		return read_ipv6(skb, tuple);
	return PACKET_OTHER;
}
