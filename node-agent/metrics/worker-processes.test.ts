import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';

import { createRegistries } from '../../admin/registries.ts';
import { parseExposition } from '../../admin/test-exposition.ts';
import type { WorkerProcess } from './worker-processes.ts';
import { addWorkerProcesses } from './worker-processes.ts';

test('what each worker process costs is told, and nothing of one that has ended', async () => {
  let processes: readonly WorkerProcess[] = [
    { worker: 0, pid: process.pid },
    { worker: 1, pid: 0x7ffffffe },
  ];
  const { text } = createRegistries((registry) => {
    addWorkerProcesses(registry, () => processes);
  });
  const told = async (): Promise<Map<string, number>> => {
    const { samples } = parseExposition(await text.metrics(), 'text');
    const own = samples.filter(({ name }) => name.startsWith('weft_worker_process_'));
    return new Map(own.map(({ name, labels, value }) => [`${name} ${labels['worker']}`, value]));
  };
  const first = await told();
  assert.equal(first.size, 3);
  const { user, system } = process.cpuUsage();
  const cpu = first.get('weft_worker_process_cpu_seconds_total 0') ?? NaN;
  assert.ok(Math.abs(cpu - (user + system) / 1e6) < 0.5, `${cpu}`);
  const memory = first.get('weft_worker_process_resident_memory_bytes 0') ?? NaN;
  assert.ok(Math.abs(memory / process.memoryUsage.rss() - 1) < 0.2, `${memory}`);
  const descriptors = first.get('weft_worker_process_open_fds 0') ?? NaN;
  assert.ok(Math.abs(descriptors - readdirSync('/proc/self/fd').length) <= 3, `${descriptors}`);

  processes = [];
  assert.equal((await told()).size, 0);
});
