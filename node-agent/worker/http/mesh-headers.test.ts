import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { HeaderEdits } from '../../../native/engine.d.ts';
import type { NamedEdits } from './mesh-headers.ts';
import { MeshHeaders } from './mesh-headers.ts';

class FakeEdits {
  readonly defined = new Map<number, HeaderEdits>();
  last = 0;
  defineHeaderEdits(edits: HeaderEdits): number {
    this.defined.set(++this.last, edits);
    return this.last;
  }
  releaseHeaderEdits(edits: number): void {
    assert.ok(this.defined.delete(edits));
  }
  nameOf(number: number): string {
    return `client-${number}`;
  }
}

test('what only the mesh may say is taken out, in both directions', () => {
  const engine = new FakeEdits();
  const { anonymous } = new MeshHeaders(engine);
  const requests = engine.defined.get(anonymous.requestEdits);
  assert.ok(requests?.remove?.includes('l5d-client-id') === true && requests.remove.includes('l5d-dst-override'));
  assert.equal(requests.set, undefined);
  assert.ok(engine.defined.get(anonymous.responseEdits)?.remove?.includes('l5d-proxy-error'));
});

test('a name is defined once, and stays while somebody uses it', () => {
  const engine = new FakeEdits();
  const headers = new MeshHeaders(engine);
  const edits = headers.acquire(7);
  assert.equal(headers.acquire(7), edits);
  assert.deepEqual(engine.defined.get(edits.requestEdits)?.set, { 'l5d-client-id': 'client-7' });
  assert.equal(edits.responseEdits, headers.anonymous.responseEdits);
  for (let client = 100; client < 3000; client++) headers.release(headers.acquire(client));
  assert.equal(engine.defined.size, 2 + 1 + 1024);
  assert.ok(engine.defined.has(edits.requestEdits));
});

test('however names come and go, nothing in use is released and there is a bound to the rest', () => {
  const step = fc.record({ client: fc.integer({ min: 1, max: 1100 }), acquires: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { minLength: 500, maxLength: 3000 }), (steps) => {
      const engine = new FakeEdits();
      const headers = new MeshHeaders(engine);
      const used: NamedEdits[] = [];
      for (const { client, acquires } of steps) {
        const released = acquires ? undefined : used.shift();
        if (released === undefined) used.push(headers.acquire(client));
        else headers.release(released);
        assert.ok(used.every(({ requestEdits }) => engine.defined.has(requestEdits)));
      }
      const inUse = new Set(used.map(({ client }) => client)).size;
      assert.ok(engine.defined.size <= 2 + inUse + 1024);
    }),
    { numRuns: 10 },
  );
});
