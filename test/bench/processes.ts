import { readFileSync } from 'node:fs';

const ticksPerSecond = 100; // USER_HZ, which is 100 on every architecture that Linux still knows

/** User and system time of the processes so far, in seconds (proc(5), stat fields 14 and 15). */
export function cpuSeconds(pids: readonly number[]): number {
  const ticks = pids.map((pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11]) + Number(fields[12]);
  });
  return ticks.reduce((sum, value) => sum + value, 0) / ticksPerSecond;
}

/** Memory of the processes' own, without pages of files, which come and go with what code runs (proc(5), smaps_rollup). */
export function anonymousBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
    return sum + Number(/^Anonymous:\s+(\d+) kB$/m.exec(rollup)?.[1]) * 1024;
  }, 0);
}

/** Pages of files that the processes have in use, too, and again for each process (proc(5), status). */
export function residentBytes(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    return sum + Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }, 0);
}

export function processesOf(cgroup: string): number[] {
  return readFileSync(`${cgroup}/cgroup.procs`, 'utf8').split('\n').filter(Boolean).map(Number);
}
