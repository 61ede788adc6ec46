import { existsSync, mkdirSync, readFileSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { cgroup2Mount } from '../lab/layout.ts';

const endDeadlineMs = 20_000;

/** The mounts of all hierarchies: one on a pure v2 host, more on a hybrid one. */
export function hierarchies(): string[] {
  const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
  return mounts
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup' || type === 'cgroup2')
    .map(([, mount = '']) => mount);
}

/** Makes a group in every hierarchy, as kubelets want their root to be there beforehand. */
export function makeGroups(path: string): void {
  for (const hierarchy of hierarchies()) {
    let group = hierarchy;
    for (const part of path.split('/')) {
      const parent = group;
      group = join(parent, part);
      mkdirSync(group, { recursive: true });
      for (const file of ['cpuset.cpus', 'cpuset.mems']) inherit(parent, group, file);
    }
  }
}

/** A group of cpuset (v1) takes no process while its own lists are empty. */
function inherit(parent: string, group: string, file: string): void {
  if (hierarchyIsV2(group) || !existsSync(join(group, file))) return;
  writeFileSync(join(group, file), readFileSync(join(parent, file), 'utf8').trim());
}

function hierarchyIsV2(group: string): boolean {
  return group.startsWith(`${cgroup2Mount()}/`);
}

export function processesBelow(path: string): number[] {
  return processesIn(join(cgroup2Mount(), path));
}

function processesIn(group: string): number[] {
  try {
    const own = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
    return [...own, ...subgroups(group).flatMap(processesIn)];
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

/**
 * Those inside of machines first: commands outside wait for them, and who is left without its parent waits for process 1 to look for it,
 * which takes its time on some machines. Asks again before every round: a pid alone may be somebody else's by now.
 */
export async function killBelow(path: string): Promise<void> {
  const deadline = performance.now() + endDeadlineMs;
  for (;;) {
    const pids = processesBelow(path).filter((pid) => pid !== process.pid);
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`processes ${pids.join(', ')} do not end`);
    const inside = pids.filter((pid) => pidsInside(pid).length > 0);
    for (const pid of inside.length > 0 ? inside : pids) kill(pid);
    await delay(20);
  }
}

/** What a process is called in PID namespaces below this one, from the outermost. */
export function pidsInside(pid: number): string[] {
  try {
    const line = /^NSpid:(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
    return line.trim().split(/\s+/).slice(1);
  } catch {
    return []; // it has just ended
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself.
  }
}

export function groupsOf(path: string): string[] {
  return hierarchies()
    .map((hierarchy) => join(hierarchy, path))
    .filter((group) => existsSync(group));
}

/** A process that was killed stays in its group until its parent has reaped it. */
export async function removeGroups(path: string): Promise<void> {
  const deadline = performance.now() + endDeadlineMs;
  for (;;) {
    try {
      for (const group of groupsOf(path)) removeTree(group);
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
    await delay(50);
  }
}

function removeTree(group: string): void {
  for (const child of subgroups(group)) removeTree(child);
  try {
    rmdirSync(group);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

function subgroups(group: string): string[] {
  return readdirSync(group, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => join(group, entry.name));
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENODEV');
}
