import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { createRegistries } from './registries.ts';
import { parseExposition } from './test-exposition.ts';

test('a process tells how long it runs, its threads and its build', async () => {
  const { text } = createRegistries(() => undefined);
  const { samples, types } = parseExposition(await text.metrics(), 'text');
  const of = (name: string): number => samples.find((sample) => sample.name === name)?.value ?? NaN;
  assert.ok(of('process_uptime_seconds_total') > 0 && of('process_uptime_seconds_total') <= process.uptime());
  assert.ok(Math.abs(of('process_threads') - readdirSync('/proc/self/task').length) <= 2);
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  const build = samples.find(({ name }) => name === 'proxy_build_info');
  assert.deepEqual(build, { name: 'proxy_build_info', labels: { version, vendor: 'weft' }, value: 1 });
  const linkerds = ['cpu_seconds_total', 'start_time_seconds', 'open_fds', 'max_fds', 'virtual_memory_bytes'];
  for (const name of [...linkerds, 'resident_memory_bytes']) assert.ok(types.has(`process_${name}`), name);
});
