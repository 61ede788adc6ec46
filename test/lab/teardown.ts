import { existsSync, readFileSync, readdirSync, rmSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { run } from './command.ts';
import { labCgroup, labFolder, labMemory, labPrefix } from './layout.ts';
import { removeContainers } from './podman.ts';

const killDeadlineMs = 5000;

export const watchdogScript = new URL('watchdog.ts', import.meta.url).pathname;

/** As teardown, for a lab that another process may hold: the watchdog of that one must not come in between, or find the next lab of the name. */
export async function takeDown(lab: string): Promise<void> {
  await killProcesses(() => processesBelow(labCgroup(lab)));
  await killProcesses(() => watchdogsOf(lab));
  await teardown(lab);
}

/** Takes a lab down by its name alone, whatever state it is in and whoever made it. */
export async function teardown(lab: string): Promise<void> {
  await killProcesses(() => processesBelow(labCgroup(lab)));
  await removeContainers(lab);
  for (const name of netnsOf(lab)) await run(['ip', 'netns', 'del', name]);
  for (const name of pinsOf(lab)) rmSync(join('/sys/fs/bpf', name), { recursive: true, force: true });
  await removeCgroups(labCgroup(lab));
  for (const folder of [labFolder(lab), labMemory(lab)]) rmSync(folder, { recursive: true, force: true });
}

/** What of a lab is still there; empty after a teardown. */
export function leftovers(lab: string): string[] {
  return [
    ...netnsOf(lab).map((name) => `netns ${name}`),
    ...pinsOf(lab).map((name) => `pin ${name}`),
    ...(existsSync(labCgroup(lab)) ? [`cgroup ${labCgroup(lab)}`] : []),
    ...[labFolder(lab), labMemory(lab)].filter((folder) => existsSync(folder)).map((folder) => `folder ${folder}`),
  ];
}

function netnsOf(lab: string): string[] {
  return existsSync('/run/netns') ? readdirSync('/run/netns').filter((name) => name.startsWith(labPrefix(lab))) : [];
}

function pinsOf(lab: string): string[] {
  return readdirSync('/sys/fs/bpf').filter((name) => name.startsWith(`weft-lab-${lab}-`));
}

/** Asks again before every round: a pid alone may be somebody else's by now. */
async function killProcesses(find: () => number[]): Promise<void> {
  const deadline = performance.now() + killDeadlineMs;
  for (;;) {
    const pids = find();
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`processes ${pids.join(', ')} do not end`);
    kill(pids);
    await delay(20);
  }
}

function kill(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
}

function watchdogsOf(lab: string): number[] {
  const processes = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return processes.map(Number).filter((pid) => {
    try {
      const [, script, name] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return script === watchdogScript && name === lab;
    } catch {
      return false; // it has just ended
    }
  });
}

function processesBelow(cgroup: string): number[] {
  if (!existsSync(cgroup)) return [];
  const own = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  return [...own.filter((pid) => pid !== process.pid), ...subgroups(cgroup).flatMap(processesBelow)];
}

/**
 * A process that was killed stays in its cgroup until its parent has reaped it, and one that the lab started last may join its cgroup only
 * now.
 */
async function removeCgroups(cgroup: string): Promise<void> {
  const deadline = performance.now() + killDeadlineMs;
  for (;;) {
    try {
      removeTree(cgroup);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      kill(processesBelow(cgroup));
    }
    await delay(20);
  }
}

function removeTree(cgroup: string): void {
  if (!existsSync(cgroup)) return;
  for (const child of subgroups(cgroup)) removeTree(child);
  rmdirSync(cgroup);
}

function subgroups(cgroup: string): string[] {
  return readdirSync(cgroup, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(cgroup, entry.name));
}
