import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import fc from 'fast-check';

import { families } from './families.ts';
import { MergedFamilies } from './merged-series.ts';
import { SeriesMemory, seriesMemoryBytes, slots, states } from './series-memory.ts';
import { keyOfLabels, partOf, seriesSet, seriesSets } from './series-sets.ts';
import type { Series } from './series-writer.ts';
import { SeriesWriter } from './series-writer.ts';
import { countsIn, sumIn } from './test-series.ts';

const idleSweeps = 61;

function newMemory(): ArrayBuffer {
  return new ArrayBuffer(seriesMemoryBytes);
}

function refused(writer: SeriesWriter, pod: string): Series {
  return writer.series('refused', { direction: 'inbound', namespace: 'shop', pod, reason: 'guard' });
}

function sweep(writer: SeriesWriter, times: number): void {
  for (let time = 0; time < times; time++) writer.sweep();
}

/** What main shows of one pod's refusals; undefined: no such series. */
function shown(merged: MergedFamilies, pod: string): number | undefined {
  return merged
    .seriesOf('weft_connections_refused_total')
    .find(({ labels }) => labels.includes(`pod="${pod}"`))
    ?.value(0);
}

test('what is counted is found by its labels, in whatever order they are told', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  writer.add(refused(writer, 'a'), 0, 2);
  writer.add(
    writer.series('refused', { reason: 'guard', pod: 'a', namespace: 'shop', direction: 'inbound', other: 'x' }),
    0,
    3,
  );
  writer.add(refused(writer, 'ü"\n\\'), 0, 1);
  writer.add(refused(writer, ''), 0, 7);
  const labels = { direction: 'inbound', namespace: 'shop', reason: 'guard' };
  const family = 'weft_connections_refused_total';
  assert.deepEqual(
    countsIn(memory).sort((a, b) => a.value - b.value),
    [
      { family, labels: { ...labels, pod: 'ü"\n\\' }, value: 1 },
      { family, labels: { ...labels, pod: 'a' }, value: 5 },
      { family, labels, value: 7 },
    ],
  );
});

test('a histogram counts each value in the first bucket that holds it', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  const { definition, firstCell, cells } = partOf('response_latency_ms');
  const { bounds = [], scale = 1 } = definition;
  const series = writer.series('response', { pod: 'a' });
  for (const value of [0, 1, 1.0001, 5, 49_999, 50_000, 50_001, 1e9])
    writer.observe(series, firstCell, bounds, scale, value);
  const first = new SeriesMemory(memory).firstCell(series.slot) + firstCell;
  const counted = [...new Float64Array(memory).subarray(first, first + cells)];
  assert.equal(counted.pop(), 1_000_150_007_000 + 0);
  const expected = Array<number>(bounds.length + 1).fill(0);
  expected[0] = 2;
  expected[1] = 1;
  expected[4] = 1;
  expected[bounds.length - 1] = 2;
  expected[bounds.length] = 2;
  assert.deepEqual(counted, expected);
});

test('a successor counts on, and gauges begin anew', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  const open = partOf('tcp_open_connections').firstCell;
  writer.add(writer.series('transport', { pod: 'a' }), 0, 7);
  writer.setGauge(writer.series('transport', { pod: 'a' }), open, 3);
  const successor = new SeriesWriter(memory);
  successor.add(successor.series('transport', { pod: 'a' }), 0, 1);
  assert.deepEqual([sumIn(memory, 'tcp_open_total'), sumIn(memory, 'tcp_open_connections')], [8, 0]);
  assert.equal(countsIn(memory).length, 4);
});

test('counts of any writers add up, whatever the names', () => {
  const name = fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom('a', 'b', '__proto__', ''));
  const run = fc.array(fc.tuple(name, fc.nat(1000)), { maxLength: 30 });
  fc.assert(
    fc.property(fc.array(run, { maxLength: 4 }), (runs) => {
      const memory = newMemory();
      const expected = new Map<string, number>();
      for (const additions of runs) {
        const writer = new SeriesWriter(memory);
        for (const [pod, amount] of additions) {
          writer.add(refused(writer, pod), 0, amount);
          const stored = pod.replaceAll('\x1f', ' ').toWellFormed();
          expected.set(stored, (expected.get(stored) ?? 0) + amount);
        }
      }
      const found = new Map<string, number>();
      for (const { labels, value } of countsIn(memory)) {
        const { pod = '' } = labels;
        found.set(pod, (found.get(pod) ?? 0) + value);
      }
      assert.deepEqual(new Map([...found].sort()), new Map([...expected].sort()));
    }),
    { numRuns: 15 },
  );
});

test('what nobody has counted in for ten minutes is given up, and its place is used again once main has its counts', async () => {
  const memory = newMemory();
  const merged = new MergedFamilies([memory]);
  const writer = new SeriesWriter(memory);
  const gone = refused(writer, 'gone');
  const busy = refused(writer, 'busy');
  writer.add(gone, 0, 5);
  const { slot } = gone;
  for (let time = 0; time < idleSweeps; time++) {
    writer.add(busy, 0, 1);
    if (time % 20 === 0) await merged.update();
    assert.equal(new SeriesMemory(memory).state(slot), states.live);
    writer.sweep();
  }
  assert.equal(new SeriesMemory(memory).state(slot), states.retired);
  const next = refused(writer, 'next');
  writer.add(next, 0, 3);
  assert.notEqual(next.slot, slot, 'main has not seen it yet');
  await merged.update();
  assert.equal(shown(merged, 'gone'), 5, 'another worker may have begun it');
  await merged.update();
  assert.deepEqual([shown(merged, 'gone'), shown(merged, 'busy'), shown(merged, 'next')], [undefined, 61, 3]);
  writer.sweep();
  const reused = refused(writer, 'reused');
  writer.add(reused, 0, 4);
  assert.equal(reused.slot, slot);
  await merged.update();
  assert.deepEqual([shown(merged, 'gone'), shown(merged, 'reused')], [undefined, 4]);
  writer.add(gone, 0, 1);
  await merged.update();
  assert.equal(shown(merged, 'gone'), 1, 'it has begun anew');
});

test('places that workers give up are freed also where nobody scrapes, until main ends', async () => {
  const memory = newMemory();
  const stop = new AbortController();
  const kept = new MergedFamilies([memory]).keepUpdated(1, stop.signal);
  const writer = new SeriesWriter(memory);
  const { slot } = refused(writer, 'gone');
  sweep(writer, idleSweeps);
  const state = (): number => new SeriesMemory(memory).state(slot);
  const deadline = performance.now() + 5000;
  while (state() !== states.free && performance.now() < deadline) await delay(5);
  stop.abort();
  await kept;
  assert.equal(state(), states.free);
});

test('a series that one worker has given up keeps its counts while another counts on', async () => {
  const memories = [newMemory(), newMemory()];
  const merged = new MergedFamilies(memories);
  const [quiet, busy] = memories.map((memory) => new SeriesWriter(memory)) as [SeriesWriter, SeriesWriter];
  quiet.add(refused(quiet, 'a'), 0, 50);
  const seen: (number | undefined)[] = [];
  for (let time = 0; time < 3 * idleSweeps; time++) {
    busy.add(refused(busy, 'a'), 0, 1);
    quiet.sweep();
    busy.sweep();
    if (time % 3 === 0) {
      await merged.update();
      seen.push(shown(merged, 'a'));
    }
  }
  assert.deepEqual(
    seen,
    seen.map((_, scrape) => 50 + 3 * scrape + 1),
  );
  quiet.add(refused(quiet, 'a'), 0, 2); // and comes back
  await merged.update();
  assert.equal(shown(merged, 'a'), 50 + 3 * idleSweeps + 2);
  sweep(quiet, idleSweeps);
  sweep(busy, idleSweeps);
  await merged.update();
  await merged.update();
  assert.equal(shown(merged, 'a'), undefined);
});

test('what one worker begins while another gives it up goes on', async () => {
  const memories = [newMemory(), newMemory()];
  const merged = new MergedFamilies(memories);
  const [old, young] = memories.map((memory) => new SeriesWriter(memory)) as [SeriesWriter, SeriesWriter];
  old.add(refused(old, 'a'), 0, 5);
  await merged.update();
  sweep(old, idleSweeps);
  young.add(refused(young, 'a'), 0, 5);
  await Promise.all([merged.update(), merged.update(), merged.update()]);
  assert.equal(shown(merged, 'a'), 10);
});

test('series that are touched are kept', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  const series = refused(writer, 'a');
  writer.add(series, 0, 1);
  for (let time = 0; time < 3 * idleSweeps; time++) {
    writer.touch(series);
    writer.sweep();
  }
  assert.equal(new SeriesMemory(memory).state(series.slot), states.live);
});

const own = slots - 1 - 128;

test('what finds no room is counted together and told, until there is room', async () => {
  const memory = newMemory();
  const merged = new MergedFamilies([memory]);
  const writer = new SeriesWriter(memory);
  for (let pod = 0; pod < own; pod++) writer.add(refused(writer, `pod-${pod}`), 0, 1);
  const late = refused(writer, 'late');
  const transport = writer.series('transport', { direction: 'outbound', peer: 'dst', pod: 'late', tls: 'true' });
  writer.add(late, 0, 10);
  writer.add(late, 0, 10);
  writer.add(transport, 0, 1);
  writer.setGauge(transport, partOf('tcp_open_connections').firstCell, 1);
  const overflow = { direction: 'inbound', namespace: 'overflow', pod: 'overflow', reason: 'overflow' };
  assert.equal(sumIn(memory, 'weft_connections_refused_total', overflow), 20);
  assert.equal(sumIn(memory, 'tcp_open_total', { direction: 'outbound', peer: 'dst', pod: 'overflow' }), 1);
  assert.equal(sumIn(memory, 'tcp_open_connections'), 0);
  assert.equal(sumIn(memory, 'weft_metrics_overflow_total', { series: 'refused' }), 2);
  assert.equal(sumIn(memory, 'weft_metrics_overflow_total', { series: 'transport' }), 1);

  const successor = new SeriesWriter(memory);
  const latest = refused(successor, 'late');
  successor.add(latest, 0, 5);
  successor.add(refused(successor, 'pod-7'), 0, 1);
  assert.equal(sumIn(memory, 'weft_metrics_overflow_total', { series: 'refused' }), 3);
  assert.equal(sumIn(memory, 'weft_connections_refused_total', { pod: 'pod-7' }), 2);

  for (let time = 0; time < idleSweeps; time++) {
    successor.add(latest, 0, 1);
    successor.sweep();
  }
  await merged.update();
  successor.sweep();
  successor.add(latest, 0, 3);
  assert.equal(sumIn(memory, 'weft_connections_refused_total', { pod: 'late' }), 3);
  assert.equal(sumIn(memory, 'weft_connections_refused_total', overflow), 25 + idleSweeps);
});

test('a key that fills its place has a series, a longer one has none', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  const set = seriesSet('refused');
  const rest = keyOfLabels(set, { direction: 'inbound', namespace: 'shop', reason: 'guard' }).length;
  const longest = 'x'.repeat(set.maximumKeyBytes - rest);
  writer.add(refused(writer, longest), 0, 1);
  writer.add(refused(writer, `${longest}x`), 0, 2);
  assert.equal(sumIn(memory, 'weft_connections_refused_total', { pod: longest }), 1);
  assert.equal(sumIn(memory, 'weft_connections_refused_total', { pod: 'overflow' }), 2);
});

test('every set has room for names as long as Kubernetes has them', () => {
  for (const { name, maximumKeyBytes, labels } of seriesSets) {
    assert.ok(maximumKeyBytes >= 700, `${name}: ${maximumKeyBytes}`);
    assert.ok(labels.length > 0);
  }
  assert.deepEqual(seriesSets.flatMap(({ parts }) => parts.map(({ family }) => family)).sort(), Object.keys(families).sort()); // prettier-ignore
});

/** A memory in which only the first slots are not 0, to save time. */
const hostile = fc
  .record({
    bytes: fc.uint8Array({ maxLength: 6 * 1024 }),
    states: fc.array(fc.constantFrom(0, 1, 2, 3, 0xffffffff), { maxLength: 12 }),
    sets: fc.array(fc.nat(seriesSets.length), { maxLength: 12 }),
    lengths: fc.array(fc.constantFrom(0, 1, 700, 1000, 0xffff), { maxLength: 12 }),
  })
  .map((given) => {
    const memory = newMemory();
    const view = new DataView(memory);
    new Uint8Array(memory).set(given.bytes, 4 * slots);
    for (const [slot, set] of given.sets.entries()) view.setUint16(4 * slots + slot * 1024, set, true);
    for (const [slot, length] of given.lengths.entries()) view.setUint16(4 * slots + slot * 1024 + 2, length, true);
    for (const [slot, state] of given.states.entries()) view.setUint32(4 * slot, state, true);
    return memory;
  });

test('main reads whatever a worker has written, and a worker counts on in whatever its predecessor has left', async () => {
  await fc.assert(
    fc.asyncProperty(hostile, async (memory) => {
      const merged = new MergedFamilies([memory]);
      const look = async (): Promise<void> => {
        await merged.update();
        for (const { family, definition } of seriesSets.flatMap(({ parts }) => parts))
          for (const series of merged.seriesOf(family))
            assert.ok(series.value(0) >= 0 && Number.isSafeInteger(series.value(0)), definition.help);
      };
      await look();
      const writer = new SeriesWriter(memory);
      writer.add(refused(writer, 'after'), 0, 1);
      await look();
      assert.equal(shown(merged, 'after'), 1);
      sweep(writer, idleSweeps);
      await look();
      await look();
      writer.sweep();
      await look();
      assert.equal(shown(merged, 'after'), undefined);
      writer.add(refused(writer, 'again'), 0, 2);
      await look();
      assert.equal(shown(merged, 'again'), 2);
    }),
    { numRuns: 25 },
  );
});

test('all of the memory may be noise, with no slot that is free', () => {
  const memory = newMemory();
  const words = new Uint32Array(memory);
  for (let at = 0, state = 1; at < words.length; at++)
    words[at] = state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
  for (let slot = 0; slot < slots; slot++) words[slot] = states.retired;
  const writer = new SeriesWriter(memory);
  writer.add(refused(writer, 'a'), 0, 1); // goes nowhere, and breaks nothing
  writer.sweep();
  for (let slot = 1; slot < slots; slot++) words[slot] = states.free;
  writer.sweep();
  writer.add(refused(writer, 'a'), 0, 1);
  assert.equal(sumIn(memory, 'weft_connections_refused_total', { pod: 'a' }), 1);
});
