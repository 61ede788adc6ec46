/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
#pragma once

#include "kernel.h"
#include "weft.h"

static __always_inline void address_from_ipv4(struct address *address, __be32 ipv4)
{
	__u32 *words = (__u32 *)address->bytes;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = ipv4;
}

static __always_inline void address_from_words(struct address *address, __u32 a, __u32 b, __u32 c, __u32 d)
{
	__u32 *words = (__u32 *)address->bytes;

	words[0] = a;
	words[1] = b;
	words[2] = c;
	words[3] = d;
}

static __always_inline __u32 address_word(const struct address *address, int index)
{
	return ((const __u32 *)address->bytes)[index];
}

#define address_from_context(address, words)                                                                           \
	address_from_words(address, ONCE((words)[0]), ONCE((words)[1]), ONCE((words)[2]), ONCE((words)[3]))

static __always_inline bool address_equals(const struct address *a, const struct address *b)
{
	return address_word(a, 0) == address_word(b, 0) && address_word(a, 1) == address_word(b, 1) &&
	       address_word(a, 2) == address_word(b, 2) && address_word(a, 3) == address_word(b, 3);
}

static __always_inline bool address_is_ipv4(const struct address *address)
{
	return !address_word(address, 0) && !address_word(address, 1) && address_word(address, 2) == bpf_htonl(0xffff);
}

/* Includes the unspecified addresses: connect(2) takes them for loopback. */
static __always_inline bool address_is_loopback(const struct address *address)
{
	__u32 last = address_word(address, 3);

	if (address_is_ipv4(address))
		return !last || (last & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
	return !address_word(address, 0) && !address_word(address, 1) && !address_word(address, 2) &&
	       (!last || last == bpf_htonl(1));
}

static __always_inline bool address_is_link_local_ipv6(const struct address *address)
{
	return (address_word(address, 0) & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline bool address_in_block(const struct address *address, __u32 prefix_ipv4, __u32 second_word_ipv6)
{
	if (address_is_ipv4(address))
		return (address_word(address, 3) & bpf_htonl(0xffffff00)) == bpf_htonl(prefix_ipv4);
	return address_word(address, 0) == bpf_htonl(0xfd776566) &&
	       address_word(address, 1) == bpf_htonl(second_word_ipv6);
}

static __always_inline bool address_in_source_block(const struct address *address)
{
	return address_in_block(address, WEFT_SOURCE_PREFIX_V4, 0x74000000);
}
