import assert from 'node:assert/strict';
import { Readable } from 'node:stream';
import { test } from 'node:test';

import fc from 'fast-check';

import type { WatchEvent } from './watch-events.ts';
import { watchEvents } from './watch-events.ts';

async function eventsOf(chunks: readonly Uint8Array[]): Promise<{ events: WatchEvent[]; error: unknown }> {
  const events: WatchEvent[] = [];
  try {
    for await (const some of watchEvents(Readable.from(chunks), () => undefined)) events.push(...some);
    return { events, error: undefined };
  } catch (error) {
    return { events, error };
  }
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [0, ...places.map((place) => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  return at.slice(1).map((end, index) => bytes.subarray(at[index], end));
}

const event = fc
  .tuple(fc.constantFrom('ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'), fc.string({ unit: 'binary' }), fc.nat())
  .map(([type, name, revision]) => ({ type, object: { metadata: { name, resourceVersion: `${revision}` } } }));

test('wherever the network cuts them, events are the same', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event), fc.array(fc.nat()), fc.boolean(), async (sent, places, isHalf) => {
      const text = sent.map((one) => `${JSON.stringify(one)}\n`).join('') + (isHalf ? '{"type":"ADDED","obj' : '');
      const { events, error } = await eventsOf(cut(Buffer.from(text), places));
      assert.equal(error, undefined);
      assert.deepEqual(
        events.map(({ type, object, revision }) => ({ type, object, revision })),
        sent.map((one) => ({ ...one, revision: one.object.metadata.resourceVersion })),
      );
    }),
    { numRuns: 500 },
  );
});

test('what comes before garbage counts, what comes after does not', async () => {
  const good = '{"type":"ADDED","object":{"metadata":{"resourceVersion":"7"}}}\n';
  for (const bad of [
    '}',
    'null',
    '[]',
    '{}',
    '{"type":"ADDED","object":{}}',
    good.replace('"7"', '7'),
    '{"type":"ERROR"}',
  ]) {
    const { events, error } = await eventsOf([Buffer.from(`${good}${bad.trim()}\n${good}`)]);
    assert.equal(events.length, 1, bad);
    assert.ok(error instanceof Error, bad);
  }
});

test('a line without end is not kept for ever', async () => {
  const chunk = Buffer.alloc(1024 * 1024, 'x');
  const { error } = await eventsOf(Array<Buffer>(17).fill(chunk));
  assert.match(String(error), /longer than/);
});
