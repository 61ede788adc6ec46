import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { parseExposition } from '../admin/test-exposition.ts';
import { ControllerCounts, createControllerRegistries } from './controller-metrics.ts';
import { registerLeadershipMetrics } from './leadership/leadership-metrics.ts';
import { registerSourceMetrics } from './sources/kubernetes/source-metrics.ts';

const text = readFileSync(new URL('../docs/metrics.md', import.meta.url), 'utf8');

test('docs/metrics.md has all families of the controller, with their types, and no others', async () => {
  const [, section = ''] = /^## Families of the controller\n([^]*?)^## /m.exec(text) ?? [];
  const documented = [...section.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name = '', type = '']) => [name, type]);
  const status = { hasStarted: true, workloads: 0, streams: 0, issuerNotAfter: new Date() };
  const registries = createControllerRegistries(
    new ControllerCounts(),
    () => status,
    (registry) => {
      registerSourceMetrics(registry, []);
      registerLeadershipMetrics(registry, () => true);
    },
  );
  const { types, samples } = parseExposition(await registries.text.metrics(), 'text');
  const told = [...types].filter(([name]) => !/^(?:process|nodejs)_|_build_info$/.test(name));
  assert.deepEqual(documented.sort(), told.sort());
  assert.equal(samples.find(({ name }) => name === 'weft_controller_leader')?.value, 1);
});
