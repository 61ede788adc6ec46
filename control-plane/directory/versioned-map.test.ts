import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { VersionedMap } from './versioned-map.ts';

const operations = fc.array(fc.record({ key: fc.integer({ min: 0, max: 9 }), isRemoved: fc.boolean() }), {
  maxLength: 60,
});

test('what has changed since any version, applied to what was, gives what is', () => {
  fc.assert(
    fc.property(operations, fc.nat(60), fc.nat(5), (changes, since, floor) => {
      const map = new VersionedMap<{ key: string; version: number }>(floor);
      const reader = new Map<string, number>();
      const truth = new Map<string, number>();
      let version = floor;
      const apply = (from: number): void => {
        const delta = map.since(from);
        if (delta.full) reader.clear();
        for (const key of delta.removed) reader.delete(key);
        for (const { key, version: at } of delta.upserts) reader.set(key, at);
      };
      let readAt = 0;
      for (const [index, { key, isRemoved }] of changes.entries()) {
        version++;
        if (isRemoved) {
          map.delete(`k${key}`, version);
          truth.delete(`k${key}`);
        } else {
          map.set(`k${key}`, { key: `k${key}`, version }, version);
          truth.set(`k${key}`, version);
        }
        if (index !== since) continue;
        apply(0);
        readAt = version;
      }
      apply(readAt);
      assert.deepEqual([...reader].sort(), [...truth].sort());
    }),
  );
});

test('who is too far behind for the kept removals gets everything', () => {
  const map = new VersionedMap<number>(0);
  map.set('stays', 1, 1);
  for (let version = 2; version < 2002; version++) map.set(`k${version}`, version, version);
  for (let version = 2; version < 2002; version++) map.delete(`k${version}`, 2000 + version);
  assert.deepEqual(map.since(1), { full: true, upserts: [1], removed: [] });
  assert.equal(map.since(3500).full, false);
  assert.equal(map.since(3500).removed.length, 501);
});
