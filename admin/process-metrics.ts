import { readFileSync } from 'node:fs';

import { Counter, Gauge } from 'prom-client';

import type { AnyRegistry } from './registries.ts';

/** What prom-client does not tell of a process and Linkerd's does, by Linkerd's names. */
export function addProcessFamilies(registry: AnyRegistry): void {
  const registers = [registry];
  new Gauge({
    name: 'proxy_build_info',
    help: 'Always 1; which build this is.',
    labelNames: ['version', 'vendor'],
    registers,
  }).set({ version: readVersion(), vendor: 'weft' }, 1);
  new Counter({
    name: 'process_uptime_seconds_total',
    help: 'Since the process started.',
    registers,
    collect() {
      this.reset();
      this.inc(process.uptime());
    },
  });
  new Gauge({
    name: 'process_threads',
    help: 'Threads of the process.',
    registers,
    collect() {
      this.set(Number(/^Threads:\s+(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0));
    },
  });
}

function readVersion(): string {
  try {
    const description: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    const isKnown = typeof description === 'object' && description !== null && 'version' in description;
    return isKnown && typeof description.version === 'string' ? description.version : 'unknown';
  } catch {
    return 'unknown'; // installed without it
  }
}
