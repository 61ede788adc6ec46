/* Stands for an eBPF data plane that translates addresses: whatever is dialled becomes 127.0.0.9. */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

SEC("cgroup/connect4")
int foreign_lb4(struct bpf_sock_addr *ctx)
{
	ctx->user_ip4 = bpf_htonl(0x7f000009);
	return 1;
}

char LICENSE[] SEC("license") = "GPL";
