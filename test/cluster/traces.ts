import type { Node } from './node.ts';

/** What a data plane can leave on a node: files, pinned programs, links, routes, rules. By where it was found. */
export type Traces = Readonly<Record<string, string>>;

/** Files by name and content, but not those of containers and their logs. */
const files = `for folder in /etc/cni /opt/cni /sys/fs/bpf /run/weft /var/lib/weft; do
  find "$folder" -type f -exec sha256sum {} + -o -print 2>/dev/null
done | sort`;

/** `ip rule` and `ip route` of the node and each pod, by its address. What the node's own pods come and go with is left out. */
const network = `namespaces=$(ls /run/netns)
for netns in "" $namespaces; do
  in=\${netns:+nsenter --net=/run/netns/$netns}
  echo "## $($in ip -o -4 addr show dev eth0 | awk '{print $4}')"
  $in ip rule
  $in ip route show table all | grep -v -e 'dev cni0' -e 'dev veth' | sort
  $in ip -o link | grep -v -e veth | sed 's/^[0-9]*: \\([^@:]*\\).*/link \\1/' | sort
  $in tc filter show dev eth0 ingress
  $in tc filter show dev lo ingress
done`;

const programs = `bpftool net list | sed 's/ ifindex.*//' ; for group in $(find "$1" -type d); do bpftool cgroup show "$group" | tail -n +2; done`;

export async function tracesOf(node: Node, cgroup: string): Promise<Traces> {
  const { machine } = node;
  return {
    files: await machine.must(['sh', '-c', files]),
    network: await machine.must(['sh', '-c', network]),
    programs: await machine.must(['sh', '-c', programs, 'programs', cgroup]),
    cgroups: await machine.must(['sh', '-c', 'ls -d "$1"/weft* 2>/dev/null || true', 'cgroups', cgroup]),
  };
}
