import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { Address } from '../../mesh/address.ts';
import { formatAddress, parseAddress } from '../../mesh/address.ts';
import type { Endpoint } from './destinations.ts';
import { SessionAffinity } from './session-affinity.ts';

const clients = Array.from({ length: 250 }, (_, index) => parseAddress(`10.244.1.${index}`));

function endpoint(address: Address, port: number): Endpoint {
  return { address, port, meshed: true, identity: 1, workload: 1, localPod: 0 };
}

function keyOf(chosen: Endpoint | undefined): string {
  assert.ok(chosen);
  return `${formatAddress(chosen.address)} ${chosen.port}`;
}

const anyAddress = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => endpoint(bytes, 8080));
const endpointSets = fc.uniqueArray(anyAddress, { minLength: 1, maxLength: 40, selector: keyOf });

test('a client has the same endpoint, in whatever order they are told', () => {
  fc.assert(
    fc.property(endpointSets, (endpoints) => {
      const affinity = new SessionAffinity(endpoints);
      const reversed = new SessionAffinity(endpoints.toReversed());
      for (const client of clients)
        assert.equal(affinity.endpointOf(client), reversed.endpointOf(Uint8Array.from(client)));
    }),
    { numRuns: 20 },
  );
});

test('an endpoint that comes or goes takes its own clients along and no others', () => {
  fc.assert(
    fc.property(endpointSets, anyAddress, (endpoints, other) => {
      const without = new SessionAffinity(endpoints);
      const withIt = new SessionAffinity([...endpoints, other]);
      for (const client of clients) {
        const chosen = withIt.endpointOf(client);
        if (chosen !== other) assert.equal(chosen, without.endpointOf(client));
      }
    }),
    { numRuns: 20 },
  );
});

test('clients spread over the endpoints', () => {
  const pods = [1, 2, 3, 4].map((last) => endpoint(parseAddress(`10.244.2.${last}`), 8080));
  const ports = [8080, 8081, 8082, 8083].map((port) => endpoint(parseAddress('10.244.2.1'), port));
  for (const endpoints of [pods, ports]) {
    const affinity = new SessionAffinity(endpoints);
    const counts = Map.groupBy(clients, (client) => keyOf(affinity.endpointOf(client)));
    assert.equal(counts.size, 4);
    for (const [key, { length }] of counts) assert.ok(length > 35 && length < 90, `${key}: ${length} of 250`);
  }
});

test('without endpoints there is none', () => {
  assert.equal(new SessionAffinity([]).endpointOf(parseAddress('10.0.0.7')), undefined);
});
