import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { Series } from './series-memory.ts';
import { SeriesWriter, overflowKey, readSeries, seriesMemoryBytes } from './series-memory.ts';

const headerBytes = 16;
const slotBytes = 512;
const slots = 4096;

function newMemory(): ArrayBuffer {
  return new ArrayBuffer(seriesMemoryBytes);
}

function counts(memory: ArrayBuffer): Record<string, number> {
  return Object.fromEntries(readSeries(memory).map(({ key, value }) => [key, value]));
}

test('what is written is read, by key', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  writer.add(writer.cell('a'), 2);
  writer.add(writer.cell('ü"\n'), 0.5);
  writer.add(writer.cell('a'), 3);
  assert.deepEqual(readSeries(memory), [
    { key: overflowKey, value: 0 },
    { key: 'a', value: 5 },
    { key: 'ü"\n', value: 0.5 },
  ]);
});

test('memory that nobody has written to holds nothing', () => {
  assert.deepEqual(readSeries(newMemory()), []);
});

test('a successor counts on, but for what was true of the predecessor only', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  writer.add(writer.cell('total'), 7);
  writer.add(writer.cell('open'), 3);
  const successor = new SeriesWriter(memory);
  successor.clear((key) => key === 'open');
  assert.equal(successor.cell('total'), writer.cell('total'));
  successor.add(successor.cell('total'), 1);
  successor.add(successor.cell('new'), 1);
  assert.deepEqual(counts(memory), { [overflowKey]: 0, total: 8, open: 0, new: 1 });
});

test('counts of any writers add up, whatever the keys', () => {
  const key = fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('a', 'b', 'c', '__proto__', overflowKey, ''));
  const run = fc.array(fc.tuple(key, fc.nat(1000)), { maxLength: 40 });
  fc.assert(
    fc.property(fc.array(run, { maxLength: 4 }), (runs) => {
      const memory = newMemory();
      const expected = new Map([[overflowKey, 0]]);
      for (const additions of runs) {
        const writer = new SeriesWriter(memory);
        for (const [one, amount] of additions) {
          const counted = one === overflowKey ? Math.min(amount, 1) : amount;
          writer.add(writer.cell(one), amount);
          expected.set(one, (expected.get(one) ?? 0) + counted);
        }
      }
      assert.deepEqual(
        new Map(readSeries(memory).map((series) => [series.key, series.value])),
        runs.length === 0 ? new Map() : expected,
      );
    }),
  );
});

test('series that find no room are counted as lost, and so stays what has room', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  for (let series = 1; series < slots; series++) writer.add(writer.cell(`key-${series}`), 1);
  assert.equal(counts(memory)[overflowKey], 0);
  const lost = writer.cell('one too many');
  writer.add(lost, 1);
  writer.add(lost, 1_000_000); // bytes, say
  writer.add(lost, -1);
  writer.add(lost, 0);
  writer.add(writer.cell('key-4095'), 1);
  assert.equal(counts(memory)[overflowKey], 2);
  assert.equal(counts(memory)['key-4095'], 2);
  assert.equal(readSeries(memory).length, slots);
  const successor = new SeriesWriter(memory);
  successor.add(successor.cell('one too many'), 1);
  successor.add(successor.cell('key-1'), 1);
  assert.deepEqual([counts(memory)[overflowKey], counts(memory)['key-1']], [3, 2]);
});

test('a key that fills its slot has a series, a longer one has none', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  const longest = 'é'.repeat(251); // 502 bytes
  writer.add(writer.cell(longest), 1);
  writer.add(writer.cell(`${longest}x`), 1);
  writer.add(writer.cell('next'), 4);
  assert.deepEqual(counts(memory), { [overflowKey]: 1, [longest]: 1, next: 4 });
});

function isSound(series: readonly Series[]): boolean {
  return series.length <= slots && series.every(({ key, value }) => Number.isFinite(value) && key.length <= 502);
}

/** A memory in which only the first slots are not 0, to save time. */
const hostile = fc
  .record({
    used: fc.oneof(fc.nat(12), fc.constantFrom(slots - 1, slots, slots + 1, 0x7fffffff, 0x80000000, 0xffffffff)),
    bytes: fc.uint8Array({ maxLength: 6 * slotBytes }),
    values: fc.array(fc.double(), { maxLength: 12 }),
    lengths: fc.array(fc.constantFrom(0, 1, 501, 502, 503, 0xffff), { maxLength: 12 }),
    keepsFirst: fc.boolean(),
  })
  .map(({ used, bytes, values, lengths, keepsFirst }) => {
    const memory = newMemory();
    const view = new DataView(memory);
    new Uint8Array(memory, headerBytes).set(bytes);
    for (const [slot, value] of values.entries()) view.setFloat64(headerBytes + slot * slotBytes, value, true);
    for (const [slot, length] of lengths.entries()) view.setUint16(headerBytes + slot * slotBytes + 8, length, true);
    if (keepsFirst) new SeriesWriter(memory);
    view.setUint32(0, used, true);
    return memory;
  });

test('main reads whatever a worker has written, and nothing beyond it', () => {
  fc.assert(
    fc.property(hostile, (memory) => {
      assert.ok(isSound(readSeries(memory)));
    }),
  );
});

test('a worker counts on in whatever its predecessor has left', () => {
  fc.assert(
    fc.property(hostile, (memory) => {
      const writer = new SeriesWriter(memory);
      const before = readSeries(memory);
      writer.clear(() => false);
      writer.add(writer.cell('after'), 1);
      assert.ok(isSound(readSeries(memory)));
      const after = counts(memory);
      if (before.length < slots) assert.equal(after['after'], 1);
      else assert.ok((after[overflowKey] ?? 0) >= 1);
    }),
  );
});

test('all of the memory may be noise', () => {
  const memory = newMemory();
  const bytes = new Uint8Array(memory);
  for (let at = 0, state = 1; at < bytes.length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    bytes[at] = state >>> 16;
  }
  new DataView(memory).setUint32(0, 0xffffffff, true);
  assert.ok(isSound(readSeries(memory)));
  const writer = new SeriesWriter(memory);
  writer.add(writer.cell('a'), 1);
  assert.deepEqual(counts(memory), { [overflowKey]: 0, a: 1 });
});

test('a value that is no number is 0, also for the successor', () => {
  const memory = newMemory();
  const writer = new SeriesWriter(memory);
  const cell = writer.cell('a');
  for (const value of [NaN, Infinity, -Infinity]) {
    new Float64Array(memory)[cell] = value;
    assert.equal(counts(memory)['a'], 0);
    const successor = new SeriesWriter(memory);
    successor.add(successor.cell('a'), 2);
    assert.equal(counts(memory)['a'], 2);
  }
});
