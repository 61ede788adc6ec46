import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { askToStandAside } from './hand-over.ts';

const pidFile = 'main.pid';
const generationPrefix = 'generation-';
const retireDeadlineMs = 3000;
const retirePollMs = 10;

/**
 * Makes this process the node's only main process. One that still runs is asked to retire (SIGUSR2): it stops at once and leaves its
 * workers and its broker running. One that does not is killed, which costs no more, as nothing depends on how main ends. One in another
 * container, whose end would end its workers, stands aside instead.
 */
export async function retirePredecessor(runDir: string): Promise<void> {
  const path = join(runDir, pidFile);
  const predecessor = readPredecessor(path);
  if (predecessor !== undefined) {
    signal(predecessor.pid, 'SIGUSR2');
    const deadline = performance.now() + retireDeadlineMs;
    while (startTime(predecessor.pid) === predecessor.startTime) {
      if (performance.now() > deadline) signal(predecessor.pid, 'SIGKILL');
      await delay(retirePollMs);
    }
  }
  await askToStandAside(runDir);
  writeFileSync(path, JSON.stringify({ pid: process.pid, startTime: startTime(process.pid) }));
}

/** Folders of earlier generations; their brokers' sockets are in them. */
export function earlierGenerations(runDir: string): string[] {
  return readdirSync(runDir)
    .filter((name) => name.startsWith(generationPrefix) && name !== generationFolder())
    .map((name) => join(runDir, name));
}

export function generationFolder(): string {
  return `${generationPrefix}${process.pid}-${startTime(process.pid) ?? ''}`; // every container has a process 1
}

export function removeGeneration(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

function readPredecessor(path: string): ProcessIdentity | undefined {
  try {
    const content = JSON.parse(readFileSync(path, 'utf8')) as Partial<ProcessIdentity>;
    if (typeof content.pid !== 'number' || content.pid === process.pid) return undefined;
    if (content.startTime === undefined || startTime(content.pid) !== content.startTime) return undefined;
    return { pid: content.pid, startTime: content.startTime };
  } catch {
    return undefined;
  }
}

/** Field 22 of /proc/pid/stat (proc(5)): with it a pid that was given anew is not taken for the old process. Undefined for the dead. */
function startTime(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const afterName = fields.slice(fields.lastIndexOf(')') + 2).split(' ');
    return afterName[0] === 'Z' ? undefined : afterName[19];
  } catch {
    return undefined;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended meanwhile, which is what was wanted.
  }
}
