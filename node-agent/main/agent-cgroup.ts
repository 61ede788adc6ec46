import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { cgroup2Mounts } from '../config.ts';

/**
 * Moves this process into a cgroup of the agent's own. The kernel programs know the agent's sockets by it, so a pod cannot pose as
 * the agent by a mark; children are born in it. Throws where the kernel refuses: an agent outside would capture itself.
 *
 * @param folder - in the cgroup v2 tree; made if missing
 * @returns the folder, or that of the container: a process cannot leave the root of its cgroup namespace (nsdelegate in cgroups(7)), and
 *   need not, as the container runtime has made that cgroup for this container alone
 */
export function joinAgentCgroup(folder: string): string {
  const container = containersCgroup();
  if (container !== undefined) return container;
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'cgroup.procs'), String(process.pid));
  if (!processesOf(folder).includes(process.pid)) {
    throw new Error(`this process is in the cgroup ${currentCgroup()} after having been moved to ${folder}`);
  }
  return folder;
}

/** Takes the folder away, if it was made by `joinAgentCgroup` and nobody else is in it any more. */
export function leaveAgentCgroup(folder: string): void {
  if (containersCgroup() !== undefined) return;
  writeFileSync(join(dirname(folder), 'cgroup.procs'), String(process.pid));
  rmdirSync(folder);
}

/** Where this process sees the root of its cgroup namespace; undefined in the host's. */
function containersCgroup(): string | undefined {
  if (currentCgroup() !== '/') return undefined;
  return cgroup2Mounts(readFileSync('/proc/mounts', 'utf8')).find(
    // The root of the whole tree has no events.
    (mount) => existsSync(join(mount, 'cgroup.events')) && processesOf(mount).includes(process.pid),
  );
}

function processesOf(folder: string): number[] {
  return readFileSync(join(folder, 'cgroup.procs'), 'utf8').split('\n').map(Number);
}

/** The cgroup v2 path of this process (cgroups(7): the line of hierarchy 0). */
function currentCgroup(): string {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith('0::'));
  if (line === undefined) throw new Error('this kernel has no cgroup v2 hierarchy');
  return line.slice('0::'.length);
}
