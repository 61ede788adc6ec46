import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where Debian's containernetworking-plugins are. */
export const debianPlugins = '/usr/lib/cni';

/** Where everything of a lab lies. All names carry the lab's, so that teardown needs nothing else. */
export function labFolder(lab: string): string {
  return `/run/weft-lab/${lab}`;
}

/** What `exec` has to know of a lab that another process holds. */
export function labState(lab: string): string {
  return `${labFolder(lab)}/lab.json`;
}

/** What has to lie in memory, as below /run of a node. */
export function labMemory(lab: string): string {
  return `/dev/shm/weft-lab-${lab}`;
}

export function labPrefix(lab: string): string {
  return `weft-${lab}-`;
}

export function nodeNetns(lab: string, node: string): string {
  return `${labPrefix(lab)}${node}`;
}

export function podNetns(lab: string, node: string, pod: string): string {
  return `${labPrefix(lab)}${node}-${pod}`;
}

export function cgroup2Mount(): string {
  const line = readFileSync('/proc/mounts', 'utf8')
    .split('\n')
    .find((mount) => mount.split(' ')[2] === 'cgroup2');
  const mount = line?.split(' ')[1];
  if (mount === undefined) throw new Error('no cgroup v2 tree is mounted');
  return mount;
}

export function labCgroup(lab: string): string {
  return join(cgroup2Mount(), `weft-lab-${lab}`);
}

export function nodePins(lab: string, node: string): string {
  return `/sys/fs/bpf/weft-lab-${lab}-${node}`;
}
