import type { Node } from './node.ts';

/** What a data plane can leave on a node, a line each, by kind. */
export interface Traces {
  /** Files that others share with it, with their content but for its blanks; folders of its own. */
  readonly files: string;
  /** Links, rules, routes and filters of the node and of each pod. */
  readonly network: string;
  readonly programs: string;
  readonly cgroups: string;
}

const files = `cd /
find etc/cni opt/cni -type f ! -name cni.lock | sort | while read -r file; do
  echo "$(tr -d '[:space:]' <"$file" | sha256sum) $file"
done
find sys/fs/bpf run/weft* var/lib/weft* 2>/dev/null
true`;

const network = `for netns in "" /run/netns/*; do
  in=\${netns:+nsenter --net=$netns}
  for family in -4 -6; do
    $in ip $family rule
    $in ip $family route show table all
    $in ip $family -o address
  done
  $in ip -o link
  for device in $($in ip -o link | sed 's/^[0-9]*: \\([^@:]*\\).*/\\1/'); do
    $in tc filter show dev "$device" ingress
    $in tc filter show dev "$device" egress
  done
done`;

// Those that hang on a device by TCX are only seen by their being there, until bpftool 7.4.
const programs = `for group in $(find "$1" -type d); do bpftool cgroup show "$group" | tail -n +2; done
for netns in "" /run/netns/*; do \${netns:+nsenter --net=$netns} bpftool net list; done
bpftool prog show name weft_ingress || true`;

export async function tracesOf({ machine }: Node, cgroup: string): Promise<Traces> {
  const look = (script: string): Promise<string> => machine.must(['sh', '-c', script, 'look', cgroup]);
  return {
    files: await look(files),
    network: await look(network),
    programs: await look(programs),
    cgroups: await look('find "$1" -type d | sed "s|^$1||"'),
  };
}

/** By names, addresses and marks that are Weft's alone (bpf/weft.h). */
export function isMarked(line: string): boolean {
  return /weft|fwmark|lookup 30566|table 30566|169\.254\.11[67]|fd77:6566/.test(line);
}
