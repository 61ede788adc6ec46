import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseAddress } from '../../../mesh/address.ts';
import type { Endpoint } from '../destinations.ts';
import { FusedPath } from '../fused-paths.ts';
import { testPod } from '../test-connection.ts';
import type { Upstream } from './upstreams.ts';
import { Upstreams } from './upstreams.ts';

function endpoint(port: number): Endpoint {
  return { address: parseAddress('10.0.0.8'), port, meshed: true, identity: 1, workload: 1, localPod: 0 };
}

test('an endpoint is one upstream for each way to it', () => {
  const upstreams = new Upstreams();
  const [one, other] = [endpoint(80), endpoint(80)];
  assert.equal(upstreams.find(one, 'mutualTls'), upstreams.find(one, 'mutualTls'));
  assert.notEqual(upstreams.find(one, 'mutualTls'), upstreams.find(one, 'plaintextToOutside'));
  assert.notEqual(upstreams.find(one, 'mutualTls'), upstreams.find(other, 'mutualTls'));
});

test('requests hold a fused path, and are found by it even when main has told of its endpoint anew', () => {
  const upstreams = new Upstreams();
  const [one, other] = [endpoint(80), endpoint(80)];
  let closed = 0;
  const path = new FusedPath('path', testPod(), testPod({ id: 2 }), one, () => closed++);
  const before = upstreams.findFused(path, one);
  const numbers = [upstreams.opened(before), upstreams.opened(upstreams.findFused(path, other))];
  assert.equal(path.destination.connections, 2);
  assert.deepEqual(upstreams.numbersOf(path).sort(), numbers.sort());
  upstreams.closed(before);
  assert.deepEqual([path.destination.connections, path.isOpen, closed], [1, true, 1]);
  assert.deepEqual(upstreams.numbersOf(path), numbers.slice(1));
});

test('a number leads to its upstream while requests are under way there, and the table is no larger than they are many', () => {
  const step = fc.record({ port: fc.integer({ min: 1, max: 20 }), opens: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const upstreams = new Upstreams();
      const endpoints = Array.from({ length: 21 }, (_, port) => endpoint(port));
      const open: Upstream[] = [];
      let most = 0;
      for (const { port, opens } of steps) {
        const to = endpoints[port];
        const closed = opens ? undefined : open.shift();
        if (closed !== undefined) upstreams.closed(closed);
        else if (to !== undefined) {
          const upstream = upstreams.find(to, 'mutualTls');
          assert.ok(upstreams.opened(upstream) > 0);
          open.push(upstream);
        }
        most = Math.max(most, new Set(open).size);
        for (const upstream of open) assert.equal(upstreams.get(upstream.number), upstream);
        assert.ok(open.every(({ number }) => number <= most));
      }
      assert.equal(upstreams.get(0), undefined);
    }),
  );
});
