import { readdirSync, readFileSync, statSync } from 'node:fs';

import { Counter, Gauge } from 'prom-client';

import type { AnyRegistry } from '../../admin/registries.ts';

/** Ticks of the times in /proc: the same for every program, whatever the kernel counts in. */
const ticksPerSecond = 100;

export interface WorkerProcess {
  /** Slot of the supervisor: a successor has its predecessor's. */
  readonly worker: number;
  readonly pid: number;
}

/**
 * What workers cost, as `process_*` tells it of main. Main reads it, as workers cannot be trusted to tell.
 * @param processes asked at every scrape
 */
export function addWorkerProcesses(registry: AnyRegistry, processes: () => readonly WorkerProcess[]): void {
  const registers = [registry];
  const labelNames = ['worker'];
  const each = (read: (pid: number) => number, tell: (labels: { worker: string }, value: number) => void): void => {
    for (const { worker, pid } of processes()) {
      try {
        tell({ worker: String(worker) }, read(pid));
      } catch {
        continue; // it has ended meanwhile, or belongs to whom we may not look at
      }
    }
  };
  new Counter({
    name: 'weft_worker_process_cpu_seconds_total',
    help: 'CPU time of a worker process.',
    labelNames,
    registers,
    collect() {
      this.reset();
      each(cpuSeconds, (labels, value) => {
        this.inc(labels, value);
      });
    },
  });
  new Gauge({
    name: 'weft_worker_process_resident_memory_bytes',
    help: 'Resident memory of a worker process.',
    labelNames,
    registers,
    collect() {
      this.reset();
      each(residentBytes, (labels, value) => {
        this.set(labels, value);
      });
    },
  });
  new Gauge({
    name: 'weft_worker_process_open_fds',
    help: 'Open descriptors of a worker process.',
    labelNames,
    registers,
    collect() {
      this.reset();
      each(openDescriptors, (labels, value) => {
        this.set(labels, value);
      });
    },
  });
}

function cpuSeconds(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' '); // from the third on: a name may have spaces
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

function residentBytes(pid: number): number {
  const [, kilobytes] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  if (kilobytes === undefined) throw new Error(`process ${pid} has ended`);
  return Number(kilobytes) * 1024;
}

/** Since Linux 6.2 the folder's size is their number; to list them main would need a right that it has no other use for. */
function openDescriptors(pid: number): number {
  const folder = `/proc/${pid}/fd`;
  return statSync(folder).size || readdirSync(folder).length;
}
