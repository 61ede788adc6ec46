import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';
import { Gauge, Registry } from 'prom-client';

import { parseSamples } from './exposition.ts';

test('whatever a registry writes is read', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string(), fc.double({ noNaN: true }), async (label, value) => {
      const registry = new Registry();
      const gauge = new Gauge({ name: 'a_b', help: 'h\\', labelNames: ['x', 'y'], registers: [registry] });
      gauge.set({ x: label, y: '},"=' }, value);
      const [sample, ...others] = parseSamples(await registry.metrics());
      assert.deepEqual(others, []);
      assert.deepEqual(sample?.labels, { x: label, y: '},"=' });
      assert.equal(sample.value, value === 0 ? sample.value : value);
    }),
  );
});

test('what is no sample is passed over, and numbers of all forms are read', () => {
  const text = '# TYPE a gauge\na 1\n\na{} -2.5e3 1700000000\nb +Inf\nc -Inf\n{x} 1\nno value\n';
  assert.deepEqual(
    parseSamples(text).map(({ name, value }) => [name, value]),
    [
      ['a', 1],
      ['a', -2500],
      ['b', Infinity],
      ['c', -Infinity],
    ],
  );
});
