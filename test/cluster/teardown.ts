import { existsSync, readdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';

import { groupsOf, killBelow, processesBelow, removeGroups } from './cgroups.ts';
import { clusterCgroup, clusterFolder } from './layout.ts';
import { keepWeftLogs } from './weft-logs.ts';

/**
 * Takes a cluster down by its name alone, whatever state it is in and whoever made it. Its mounts, links, routes and rules are in
 * namespaces that nothing but its processes holds.
 */
export async function teardown(cluster: string): Promise<void> {
  keepWeftLogs(cluster);
  await killBelow(clusterCgroup(cluster));
  await removeGroups(clusterCgroup(cluster));
  rmSync(clusterFolder(cluster), { recursive: true, force: true });
  const parent = dirname(clusterFolder(cluster));
  if (existsSync(parent) && readdirSync(parent).length === 0) rmSync(parent, { recursive: true });
}

/** What of a cluster is still there; empty after a teardown. */
export function leftovers(cluster: string): string[] {
  const folder = clusterFolder(cluster);
  return [
    ...processesBelow(clusterCgroup(cluster)).map((pid) => `process ${pid}`),
    ...groupsOf(clusterCgroup(cluster)).map((group) => `cgroup ${group}`),
    ...(existsSync(folder) ? [`folder ${folder}`] : []),
  ];
}
