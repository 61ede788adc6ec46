import { join } from 'node:path';

/** Names and addresses. Those of the machine that runs the cluster carry the cluster's name, so that teardown needs nothing else. */
export const apiServer = { address: '172.30.0.1', port: 6443 } as const;
export const nodePrefixLength = 24;
export const podRange = '10.244.0.0/16';
export const serviceRange = '10.96.0.0/16';
export const dnsAddress = '10.96.0.10';
export const clusterDomain = 'cluster.local';

export const controlMachine = 'control';

export function nodeName(index: number): string {
  return `node${index + 1}`;
}

export function nodeAddress(index: number): string {
  return `172.30.0.${index + 10}`;
}

export function nodePodRange(index: number): string {
  return `10.244.${index + 1}.0/24`;
}

/** On a disk: what nodes keep below /var outlives a reboot of theirs, and overlayfs takes no tmpfs below containers. */
export function clusterFolder(cluster: string): string {
  return `/var/lib/weft-cluster/${cluster}`;
}

export function machineFolder(cluster: string, machine: string): string {
  return join(clusterFolder(cluster), machine);
}

/** Below the root of every cgroup hierarchy. */
export function clusterCgroup(cluster: string): string {
  return `weft-cluster-${cluster}`;
}

export function isClusterName(name: string): boolean {
  return /^[a-z0-9]{1,10}$/.test(name);
}
