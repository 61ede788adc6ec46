import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Moves this process into a cgroup of the agent's own. The kernel programs know the agent's sockets by it, so a pod cannot pose as
 * the agent by a mark; children are born in it. Throws where the kernel refuses: an agent outside would capture itself.
 *
 * @param folder - in the cgroup v2 tree; made if missing
 * @returns the folder
 */
export function joinAgentCgroup(folder: string): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'cgroup.procs'), String(process.pid));
  const current = currentCgroup();
  if (current === '/' || !folder.endsWith(current)) {
    throw new Error(`this process is in the cgroup ${current} after having been moved to ${folder}`);
  }
  return folder;
}

/** The cgroup v2 path of this process (cgroups(7): the line of hierarchy 0). */
function currentCgroup(): string {
  const line = readFileSync('/proc/self/cgroup', 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith('0::'));
  if (line === undefined) throw new Error('this kernel has no cgroup v2 hierarchy');
  return line.slice('0::'.length);
}
