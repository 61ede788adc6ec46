/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The app sees its real client. The agent dials it from the source block and leaves the client's address in `clients`
 * before the SYN; when the app's socket is established, which is before accept() can return it, the entry moves into
 * that socket's own storage, so it lasts exactly as long as the socket.
 */
#pragma once

#include "address.h"
#include "maps.h"

static __always_inline void read_sockops_addresses(struct bpf_sock_ops *ctx, struct address *local,
						   struct address *remote)
{
	if (ctx->family == AF_INET) {
		address_from_ipv4(local, ctx->local_ip4);
		address_from_ipv4(remote, ctx->remote_ip4);
		return;
	}
	address_from_context(local, ctx->local_ip6);
	address_from_context(remote, ctx->remote_ip6);
}

static __always_inline __be16 remote_port_of(struct bpf_sock_ops *ctx)
{
	return bpf_htons((__u16)bpf_ntohl(ctx->remote_port)); /* the context holds it as 32 bits in network order */
}

SEC("sockops")
int weft_established(struct bpf_sock_ops *ctx)
{
	struct client_key key = {};
	struct client *announced, *kept;
	struct bpf_sock *socket = ctx->sk;

	if (ctx->op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB || !socket)
		return 1;
	read_sockops_addresses(ctx, &key.app, &key.source);
	if (!address_in_source_block(&key.source))
		return 1;
	key.source_port = remote_port_of(ctx);
	key.app_port = bpf_htons((__u16)ctx->local_port);
	announced = bpf_map_lookup_elem(&clients, &key);
	if (!announced)
		return 1;
	kept = bpf_sk_storage_get(&socket_clients, socket, announced, BPF_SK_STORAGE_GET_F_CREATE);
	if (kept)
		bpf_map_delete_elem(&clients, &key);
	return 1;
}

SEC("cgroup/getpeername4")
int weft_getpeername4(struct bpf_sock_addr *ctx)
{
	struct client *client = bpf_sk_storage_get(&socket_clients, ctx->sk, NULL, 0);

	if (client) {
		ctx->user_ip4 = address_word(&client->address, 3);
		ctx->user_port = client->port;
	}
	return 1;
}

SEC("cgroup/getpeername6")
int weft_getpeername6(struct bpf_sock_addr *ctx)
{
	struct client *client = bpf_sk_storage_get(&socket_clients, ctx->sk, NULL, 0);

	if (client) {
		ONCE(ctx->user_ip6[0]) = address_word(&client->address, 0);
		ONCE(ctx->user_ip6[1]) = address_word(&client->address, 1);
		ONCE(ctx->user_ip6[2]) = address_word(&client->address, 2);
		ONCE(ctx->user_ip6[3]) = address_word(&client->address, 3);
		ctx->user_port = client->port;
	}
	return 1;
}
