import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseAddress } from '../../mesh/address.ts';
import type { Endpoint } from './destinations.ts';
import { decideOutbound } from './outbound.ts';
import { SessionAffinity } from './session-affinity.ts';

const client = parseAddress('10.0.0.7');

function endpoint(last: number, meshed: boolean | undefined): Endpoint {
  return { address: parseAddress(`10.0.0.${last}`), port: 80, meshed, identity: 1, workload: last, localPod: 0 };
}

test('what is not known is waited for, what is outside is dialled, what has no endpoint is refused', () => {
  assert.equal(decideOutbound(undefined, client), 'wait');
  assert.equal(decideOutbound({ kind: 'unknown' }, client), 'wait');
  assert.equal(decideOutbound({ kind: 'external', protocol: 'opaque' }, client), 'direct');
  assert.equal(decideOutbound({ kind: 'endpoints', protocol: 'opaque', endpoints: [] }, client), 'refuse');
});

test('a peer of which nobody has said whether it is meshed is waited for', () => {
  assert.equal(
    decideOutbound({ kind: 'endpoints', protocol: 'opaque', endpoints: [endpoint(1, undefined)] }, client),
    'wait',
  );
});

test('one of the endpoints is chosen, and whatever random says, none that is undecided', () => {
  const meshed = fc.constantFrom(true, false, undefined);
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.array(meshed, { minLength: 1, maxLength: 250 }), random, (all, value) => {
      const endpoints = all.map((one, index) => endpoint(index, one));
      const decision = decideOutbound({ kind: 'endpoints', protocol: 'opaque', endpoints }, client, () => value);
      const chosen = endpoints[Math.floor(value * endpoints.length)];
      assert.equal(decision, chosen?.meshed === undefined ? 'wait' : chosen);
    }),
  );
});

test('every endpoint gets its share', () => {
  const endpoints = [1, 2, 3, 4].map((last) => endpoint(last, true));
  const counts = new Map<unknown, number>();
  for (let count = 0; count < 4000; count++) {
    const decision = decideOutbound({ kind: 'endpoints', protocol: 'opaque', endpoints }, client);
    counts.set(decision, (counts.get(decision) ?? 0) + 1);
  }
  // 13 standard deviations wide
  for (const one of endpoints) assert.ok(Math.abs((counts.get(one) ?? 0) - 1000) < 360);
  assert.equal(counts.size, 4);
});

test('where clients stay with their endpoint, random says nothing', () => {
  const endpoints = [1, 2, 3, 4].map((last) => endpoint(last, last === 4 ? undefined : true));
  const affinity = new SessionAffinity(endpoints);
  const destination = { kind: 'endpoints', protocol: 'opaque', endpoints, affinity } as const;
  for (let last = 1; last < 100; last++) {
    const own = parseAddress(`10.0.0.${last}`);
    const chosen = affinity.endpointOf(own);
    for (const value of [0, 0.3, 0.6, 0.9])
      assert.equal(
        decideOutbound(destination, own, () => value),
        chosen?.meshed === undefined ? 'wait' : chosen,
      );
  }
  const nobody = { ...destination, endpoints: [], affinity: new SessionAffinity([]) };
  assert.equal(decideOutbound(nobody, client), 'refuse');
});
