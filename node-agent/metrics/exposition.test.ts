import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { AgentStatus } from './agent-status.ts';
import { createAgentRegistries } from './exposition.ts';
import type { FamilyName } from './families.ts';
import { families, seriesKey } from './families.ts';
import { SeriesWriter, seriesMemoryBytes } from './series-memory.ts';
import type { Sample } from '../../admin/test-exposition.ts';
import { parseExposition } from '../../admin/test-exposition.ts';

const notAfter = new Date('2026-12-01T00:00:00Z');
const status: AgentStatus = {
  hasStarted: true,
  pods: 12,
  workers: { wanted: 2, running: 1, restarts: 3 },
  isDirectoryConnected: true,
  directoryError: undefined,
  knowsMesh: true,
  identities: {
    isReady: false,
    identities: [
      { identity: 'web.shop.mesh', state: 'valid', notAfter, error: undefined },
      { identity: 'db.shop.mesh', state: 'waiting', notAfter: undefined, error: undefined },
    ],
    clockSkewMs: -1500,
    clockError: undefined,
  },
};

type Counts = readonly (readonly [key: string, value: number])[];

function memoryOf(counts: Counts): ArrayBuffer {
  const memory = new ArrayBuffer(seriesMemoryBytes);
  const writer = new SeriesWriter(memory);
  for (const [key, value] of counts) writer.add(writer.cell(key), value);
  return memory;
}

async function scrape(memories: readonly ArrayBuffer[], of: AgentStatus = status): Promise<Sample[][]> {
  const { text, openMetrics } = createAgentRegistries(memories, () => of);
  return [
    [...parseExposition(await text.metrics(), 'text').samples],
    [...parseExposition(await openMetrics.metrics(), 'openMetrics').samples],
  ];
}

function isOurs({ name }: Sample): boolean {
  return Object.hasOwn(families, name) && name !== 'weft_metrics_overflow_total';
}

test('both formats tell the same, with a type and a help for each family', async () => {
  const { text, openMetrics } = createAgentRegistries([memoryOf([['tcp_open_total{"pod":"web"}', 3]])], () => status);
  const inText = parseExposition(await text.metrics(), 'text');
  const inOpenMetrics = parseExposition(await openMetrics.metrics(), 'openMetrics');
  for (const [name, { type }] of Object.entries(families)) {
    assert.equal(inText.types.get(name), type);
    assert.equal(inOpenMetrics.types.get(type === 'counter' ? name.replace(/_total$/, '') : name), type);
  }
  const still = ({ name }: Sample): boolean => !/^(process|nodejs)_/.test(name);
  assert.deepEqual(inText.samples.filter(still), inOpenMetrics.samples.filter(still));
  for (const { types } of [inText, inOpenMetrics])
    assert.ok([...types.keys()].some((name) => name.startsWith('nodejs_')));
});

test('the agent tells how it is', async () => {
  const expected: [string, Record<string, string>, number][] = [
    ['weft_pods', {}, 12],
    ['weft_workers', { state: 'wanted' }, 2],
    ['weft_workers', { state: 'running' }, 1],
    ['weft_worker_restarts', {}, 3],
    ['weft_directory_connected', {}, 1],
    ['weft_clock_skew_seconds', {}, -1.5],
    ['control_identity_cert_expiration_timestamp_seconds', { identity: 'web.shop.mesh' }, notAfter.getTime() / 1000],
  ];
  for (const samples of await scrape([])) {
    const agents = samples.filter(({ name }) => expected.some(([one]) => one === name));
    assert.deepEqual(
      agents,
      expected.map(([name, labels, value]) => ({ name, labels, value })),
    );
  }
});

test('a skew that nobody knows is not told as none', async () => {
  const identities = { ...status.identities, clockSkewMs: undefined };
  for (const samples of await scrape([], { ...status, isDirectoryConnected: false, identities })) {
    assert.ok(!samples.some(({ name }) => name === 'weft_clock_skew_seconds'));
    assert.equal(samples.find(({ name }) => name === 'weft_directory_connected')?.value, 0);
  }
});

test('each scrape tells what is true then', async () => {
  const memory = memoryOf([]);
  let pods = 1;
  const { text } = createAgentRegistries([memory], () => ({ ...status, pods }));
  const writer = new SeriesWriter(memory);
  const look = async (name: string): Promise<number | undefined> =>
    parseExposition(await text.metrics(), 'text').samples.find((sample) => sample.name === name)?.value;
  assert.deepEqual([await look('tcp_open_connections'), await look('weft_pods')], [undefined, 1]);
  writer.add(writer.cell('tcp_open_connections{"pod":"a"}'), 2);
  pods = 5;
  assert.deepEqual([await look('tcp_open_connections'), await look('weft_pods')], [2, 5]);
  writer.add(writer.cell('tcp_open_connections{"pod":"a"}'), -2);
  assert.equal(await look('tcp_open_connections'), 0);
});

test('counts of all workers are added up, whatever the names', async () => {
  const family = fc.constantFrom(
    ...(Object.keys(families) as FamilyName[]).filter((name) => !name.includes('overflow')),
  );
  const value = fc.oneof(fc.string({ maxLength: 12 }), fc.constantFrom('\n', '\\', '"', '\\n', 'a,b="c"}', 'é', ''));
  const key = family.chain((name) =>
    fc.dictionary(fc.constantFrom(...families[name].labels), value, { maxKeys: 4 }).map((labels) => ({ name, labels })),
  );
  const worker = fc.array(fc.tuple(key, fc.nat(1000)), { maxLength: 8 });
  const sorted = (samples: readonly Sample[]): string[] =>
    samples.map(({ name, labels, value: sum }) => JSON.stringify([name, Object.entries(labels).sort(), sum])).sort();
  await fc.assert(
    fc.asyncProperty(fc.array(worker, { maxLength: 3 }), async (workers) => {
      const expected = new Map<string, Sample>();
      for (const [{ name, labels }, amount] of workers.flat()) {
        const series = JSON.stringify([name, Object.entries(labels).sort()]);
        const before = expected.get(series)?.value ?? 0;
        expected.set(series, { name, labels: { ...labels }, value: before + amount });
      }
      const memories = workers.map((counts) =>
        memoryOf(counts.map(([{ name, labels }, amount]) => [seriesKey(name, { ...labels }), amount])),
      );
      for (const samples of await scrape(memories))
        assert.deepEqual(sorted(samples.filter(isOurs)), sorted([...expected.values()]));
    }),
    { numRuns: 40 },
  );
});

test('whatever a worker has written, the rest can be read', async () => {
  const hostile = memoryOf([
    ['tcp_open_total{"pod":"bad"}', -5],
    ['tcp_open_total{"unheard":"of"}', 5],
    ['tcp_open_total{"__proto__":"a"}', 5],
    ['no_family_total{}', 5],
    ['tcp_open_connections{"pod":"much"}', Number.MAX_VALUE],
    ['tcp_open_connections{"pod": "much"}', Number.MAX_VALUE],
    ['tcp_open_connections{"pod":"\\ud800\\u0000\\r"}', 1],
    ['tcp_open_connections{"pod":"less"}', -7],
  ]);
  const noise = new ArrayBuffer(seriesMemoryBytes);
  new Uint8Array(noise).fill(0x7b);
  const good = memoryOf([['tcp_open_total{"pod":"good"}', 2]]);
  for (const samples of await scrape([hostile, noise, good])) {
    const valueOf = (name: string, pod: string): number | undefined =>
      samples.find((sample) => sample.name === name && sample.labels['pod'] === pod)?.value;
    assert.equal(valueOf('tcp_open_total', 'good'), 2);
    assert.equal(valueOf('tcp_open_total', 'bad'), 0, 'no counter falls');
    assert.equal(valueOf('tcp_open_connections', 'less'), -7);
    assert.equal(valueOf('tcp_open_connections', 'much'), Infinity);
    assert.equal(samples.filter(isOurs).length, 5);
  }
});

test('what found no series is told', async () => {
  const memory = new ArrayBuffer(seriesMemoryBytes);
  const writer = new SeriesWriter(memory);
  writer.add(writer.cell('x'.repeat(1000)), 3);
  for (const samples of await scrape([memory, memory]))
    assert.equal(samples.find(({ name }) => name === 'weft_metrics_overflow_total')?.value, 2);
});
