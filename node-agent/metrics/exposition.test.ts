import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { Expositions, Format } from '../../admin/exposition.ts';
import type { Exposition as Parsed, Sample } from '../../admin/test-exposition.ts';
import { parseExposition } from '../../admin/test-exposition.ts';
import type { AgentStatus } from './agent-status.ts';
import { createAgentExpositions } from './exposition.ts';
import type { Family, FamilyName } from './families.ts';
import { families } from './families.ts';
import { SeriesMemory, seriesMemoryBytes } from './series-memory.ts';
import type { SetName } from './series-sets.ts';
import { derivedLabels, partOf, seriesSets } from './series-sets.ts';
import { SeriesWriter } from './series-writer.ts';

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

const formats = ['text', 'openMetrics'] as const;

interface Count {
  readonly set: SetName;
  readonly labels: Readonly<Record<string, string>>;
  readonly amount: number;
}

function memoryOf(counts: readonly Count[]): ArrayBuffer {
  const memory = new ArrayBuffer(seriesMemoryBytes);
  const writer = new SeriesWriter(memory);
  for (const { set, labels, amount } of counts) writer.add(writer.series(set, labels), 0, amount);
  return memory;
}

async function textOf(expositions: Expositions, format: Format): Promise<string> {
  let text = '';
  for await (const piece of expositions[format].write()) text += piece;
  return text;
}

async function scrape(memories: readonly ArrayBuffer[], format: Format, of: AgentStatus = status): Promise<Parsed> {
  return parseExposition(
    await textOf(
      createAgentExpositions(memories, () => of),
      format,
    ),
    format,
  );
}

function isOurs({ name }: Sample): boolean {
  return Object.keys(families).some((family) => name.startsWith(family)) && !name.includes('overflow');
}

test('both formats tell the same, with a type and a help for each family', async () => {
  const memory = memoryOf([{ set: 'transport', labels: { pod: 'web' }, amount: 3 }]);
  const inText = await scrape([memory], 'text');
  const inOpenMetrics = await scrape([memory], 'openMetrics');
  for (const [name, { type }] of Object.entries<Family>(families)) {
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
  for (const format of formats) {
    const { samples } = await scrape([], format);
    const agents = samples.filter(({ name }) => expected.some(([one]) => one === name));
    assert.deepEqual(
      agents,
      expected.map(([name, labels, value]) => ({ name, labels, value })),
    );
  }
});

test('a skew that nobody knows is not told as none', async () => {
  const identities = { ...status.identities, clockSkewMs: undefined };
  for (const format of formats) {
    const { samples } = await scrape([], format, { ...status, isDirectoryConnected: false, identities });
    assert.ok(!samples.some(({ name }) => name === 'weft_clock_skew_seconds'));
    assert.equal(samples.find(({ name }) => name === 'weft_directory_connected')?.value, 0);
  }
});

test('each scrape tells what is true then', async () => {
  const memory = memoryOf([]);
  let pods = 1;
  const expositions = createAgentExpositions([memory], () => ({ ...status, pods }));
  const writer = new SeriesWriter(memory);
  const look = async (name: string): Promise<number | undefined> =>
    parseExposition(await textOf(expositions, 'text'), 'text').samples.find((sample) => sample.name === name)?.value;
  assert.deepEqual([await look('tcp_open_connections'), await look('weft_pods')], [undefined, 1]);
  const { firstCell } = partOf('tcp_open_connections');
  const series = writer.series('transport', { pod: 'a' });
  writer.setGauge(series, firstCell, 2);
  pods = 5;
  assert.deepEqual([await look('tcp_open_connections'), await look('weft_pods')], [2, 5]);
  writer.setGauge(series, firstCell, 0);
  assert.equal(await look('tcp_open_connections'), 0);
});

const wild = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.constantFrom('\n', '\\', '"', '\\n', 'a,b="c"}', 'é', '', '{', '\r', '# EOF'),
);
const anyCount: fc.Arbitrary<Count> = fc.constantFrom(...seriesSets).chain(({ name, labels }) =>
  fc.record({
    set: fc.constant(name),
    labels: fc.dictionary(fc.constantFrom(...labels.filter((label) => label !== 'target_addr')), wild, { maxKeys: 4 }),
    amount: fc.nat(1000),
  }),
);

function sorted(samples: readonly Sample[]): string[] {
  return samples.map(({ name, labels, value }) => JSON.stringify([name, Object.entries(labels).sort(), value])).sort();
}

/** What a scrape has to tell of the first family of each set, as only that is counted. */
function expectedOf(counts: readonly Count[]): string[] {
  const expected = new Map<string, Sample>();
  for (const { set, labels, amount } of counts) {
    const name = seriesSets.find((one) => one.name === set)?.parts[0]?.family ?? '';
    const told = Object.entries(labels).filter(([, value]) => value !== '');
    const key = JSON.stringify([name, told.sort()]);
    const before = expected.get(key)?.value ?? 0;
    expected.set(key, { name, labels: Object.fromEntries(told), value: before + amount });
  }
  return sorted([...expected.values()]);
}

test('counts of all workers are added up, whatever the names', async () => {
  const firsts = new Set(seriesSets.map(({ parts: [first] }) => first?.family as string));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(anyCount, { maxLength: 8 }), { maxLength: 3 }), async (workers) => {
      for (const format of formats) {
        const { samples } = await scrape(workers.map(memoryOf), format);
        assert.deepEqual(sorted(samples.filter(({ name }) => firsts.has(name))), expectedOf(workers.flat()));
      }
    }),
    { numRuns: 25 },
  );
});

test('series that differ only in what a family does not tell are one', async () => {
  const memory = memoryOf([]);
  const writer = new SeriesWriter(memory);
  const { definition, firstCell } = partOf('response_latency_ms');
  for (const [grpc, latency] of [
    ['0', 3],
    ['0', 30],
    ['14', 300],
  ] as const) {
    const series = writer.series('response', { pod: 'a', status_code: '200', grpc_status: grpc });
    writer.add(series, 0, 1);
    writer.observe(series, firstCell, definition.bounds ?? [], definition.scale ?? 1, latency + 0.5);
  }
  for (const format of formats) {
    const { samples } = await scrape([memory], format);
    const told = (name: string): unknown[] => samples.filter((one) => one.name === name);
    assert.deepEqual(told('response_total'), [
      { name: 'response_total', labels: { pod: 'a', status_code: '200', grpc_status: '0' }, value: 2 },
      { name: 'response_total', labels: { pod: 'a', status_code: '200', grpc_status: '14' }, value: 1 },
    ]);
    const labels = { pod: 'a', status_code: '200' };
    assert.deepEqual(told('response_latency_ms_count'), [{ name: 'response_latency_ms_count', labels, value: 3 }]);
    assert.deepEqual(told('response_latency_ms_sum'), [{ name: 'response_latency_ms_sum', labels, value: 334.5 }]);
    const of = (le: string): number | undefined =>
      samples.find((one) => one.name === 'response_latency_ms_bucket' && Number(one.labels['le']) === Number(le))
        ?.value;
    assert.deepEqual(['3', '4', '40', '300', '400'].map(of), [0, 1, 2, 2, 3]);
    const bounds = samples.flatMap(({ name, labels: { le } }) => (name === 'response_latency_ms_bucket' ? [le] : []));
    assert.equal(bounds[0], format === 'text' ? '1' : '1.0');
  }
});

test('an address tells the rest of a target', async () => {
  const targets = [
    ['10.0.0.7:8080', '10.0.0.7', '8080'],
    ['[fd00::7]:80', 'fd00::7', '80'],
  ];
  const memory = memoryOf(
    targets.map(([target_addr = '']) => ({ set: 'request', labels: { target_addr }, amount: 1 })),
  );
  const { samples } = await scrape([memory], 'text');
  assert.deepEqual(
    samples.filter(({ name }) => name === 'request_total').map(({ labels }) => labels),
    targets.map(([target_addr, target_ip, target_port]) => ({ target_addr, target_ip, target_port })),
  );
  assert.deepEqual(
    ['', 'overflow', 'a:b', ':'].flatMap((target_addr) =>
      Object.values(derivedLabels).map((of) => of({ target_addr })),
    ),
    Array<string>(8).fill(''),
  );
});

test('whatever a worker has written, the rest can be read', async () => {
  const hostile = memoryOf([{ set: 'transport', labels: { pod: 'bad' }, amount: -5 }]);
  const { cells, firstCell } = partOf('tcp_open_total');
  assert.deepEqual([cells, firstCell], [1, 0]);
  const written = new SeriesMemory(hostile);
  for (const [cell, value] of [NaN, Infinity, -7, 0.5].entries()) written.cells[written.firstCell(1) + cell] = value;
  const noise = new ArrayBuffer(seriesMemoryBytes);
  new Uint8Array(noise).fill(0x01);
  const good = memoryOf([{ set: 'transport', labels: { pod: 'good' }, amount: 2 }]);
  for (const format of formats) {
    const { samples } = await scrape([hostile, noise, good], format);
    const valueOf = (pod: string): number | undefined =>
      samples.find(({ name, labels }) => name === 'tcp_open_total' && labels['pod'] === pod)?.value;
    assert.deepEqual([valueOf('good'), valueOf('bad')], [2, 0]);
    assert.ok(samples.filter(isOurs).every(({ value }) => Number.isSafeInteger(value) && value >= 0));
  }
});

function fill(memory: ArrayBuffer, worker: number): void {
  const writer = new SeriesWriter(memory);
  const { definition, firstCell } = partOf('response_latency_ms');
  for (let pod = 0; pod < 5000; pod++) {
    const labels = {
      ...{
        direction: 'outbound',
        namespace: 'shop',
        pod: `web-5d8c7b9f4-${pod}`,
        authority: 'cart.shop.svc.cluster.local:8080',
      },
      ...{
        target_addr: `10.42.${pod >> 8}.${pod & 255}:8080`,
        tls: 'true',
        server_id: 'cart.shop.serviceaccount.identity.weft',
      },
      ...{ dst_namespace: 'shop', dst_pod: `cart-7f6d9c8b5-${pod}`, dst_service: 'cart', dst_serviceaccount: 'cart' },
    };
    writer.add(writer.series('request', labels), 0, pod + worker);
    if (pod % 4 !== 0) continue;
    const response = writer.series('response', { ...labels, classification: 'success', status_code: '200' });
    writer.add(response, 0, 1);
    writer.observe(response, firstCell, definition.bounds ?? [], definition.scale ?? 1, pod);
  }
}

/** Of the processor, by this thread: what others do on the machine does not count. */
function usedMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

test('10,000 series and more are told in good time, with turns of the loop in between', async () => {
  const memories = [0, 1].map((worker) => {
    const memory = new ArrayBuffer(seriesMemoryBytes);
    fill(memory, worker);
    return memory;
  });
  const expositions = createAgentExpositions(memories, () => status);
  const blocked: number[] = [];
  for (let scrapes = 0; scrapes < 3; scrapes++) {
    let longest = 0;
    let last = usedMs();
    let runs = true;
    const watch = (): void => {
      const now = usedMs();
      longest = Math.max(longest, now - last);
      last = now;
      if (runs) setImmediate(watch);
    };
    watch();
    const text = await textOf(expositions, 'openMetrics');
    runs = false;
    const { samples } = parseExposition(text, 'openMetrics');
    assert.ok(samples.filter(isOurs).length > 40_000);
    assert.equal(samples.filter(({ name }) => name === 'request_total').length, 5000);
    blocked.push(longest);
  }
  // A collection of garbage falls into some turn.
  assert.ok(Math.min(...blocked) < 20, `blocked for ${blocked.join(', ')} ms`);
});

test('what found no series is told', async () => {
  const memory = memoryOf([{ set: 'refused', labels: { pod: 'x'.repeat(2000), reason: 'guard' }, amount: 3 }]);
  for (const format of formats) {
    const { samples } = await scrape([memory, memory.slice(0)], format);
    const overflow = samples.filter(({ name }) => name === 'weft_metrics_overflow_total');
    assert.deepEqual(overflow, [{ name: 'weft_metrics_overflow_total', labels: { series: 'refused' }, value: 2 }]);
  }
});

test('each family is counted in a set of its own name', () => {
  const names = Object.keys(families) as FamilyName[];
  for (const name of names) assert.equal(partOf(name).family, name);
});
