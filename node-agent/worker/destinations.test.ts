import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { formatAddress, parseAddress } from '../../mesh/address.ts';
import type { Destination } from './destinations.ts';
import { Destinations, keyOf } from './destinations.ts';
import type { DestinationMessage, EndpointMessage } from './messages.ts';

const peer: EndpointMessage = {
  address: '10.1.0.5',
  port: 8080,
  meshed: true,
  identity: 'db.shop.mesh',
  uid: 'uid-db',
  localPod: 0,
};

function message(address: string, port: number, endpoints: readonly EndpointMessage[]): DestinationMessage {
  return { type: 'destination', address, port, destination: { kind: 'endpoints', protocol: 'opaque', endpoints } };
}

function newDestinations(): Destinations {
  const names: string[] = [];
  return new Destinations((name) => {
    const known = names.indexOf(name);
    return known < 0 ? names.push(name) : known + 1;
  });
}

function endpointsOf(destination: Destination | undefined): unknown[] {
  assert.ok(destination?.kind === 'endpoints');
  return destination.endpoints.map(({ address, ...rest }) => ({ ...rest, address: formatAddress(address) }));
}

test('what main has told is found by address and port', () => {
  const destinations = newDestinations();
  destinations.set(message('10.96.0.1', 80, [peer, { ...peer, address: 'fd00::5', uid: 'uid-2', localPod: 4 }]));
  assert.deepEqual(endpointsOf(destinations.get(parseAddress('10.96.0.1'), 80)), [
    { address: '10.1.0.5', port: 8080, meshed: true, identity: 1, workload: 1, localPod: 0 },
    { address: 'fd00::5', port: 8080, meshed: true, identity: 1, workload: 2, localPod: 4 },
  ]);
  for (const [address, port] of [
    ['10.96.0.1', 81],
    ['10.96.0.1', 0],
    ['10.96.0.2', 80],
    ['fd00::1', 80],
  ] as const)
    // prettier-ignore
    assert.equal(destinations.get(parseAddress(address), port), undefined);
});

test('later news replace earlier ones, and what is forgotten is not known', () => {
  const destinations = newDestinations();
  const address = parseAddress('fd00::1');
  destinations.set(message('fd00::1', 80, [peer]));
  destinations.set({
    type: 'destination',
    address: 'fd00::1',
    port: 80,
    destination: { kind: 'external', protocol: 'opaque' },
  });
  assert.deepEqual(destinations.get(address, 80), { kind: 'external', protocol: 'opaque' });
  destinations.forget('fd00:0:0::1', 80);
  assert.equal(destinations.get(address, 80), undefined);
});

test('a workload keeps its number, another pod at the same address has another', () => {
  const destinations = newDestinations();
  const workload = (uid: string): unknown => {
    const set = destinations.set(message('10.1.0.5', 80, [{ ...peer, uid }]));
    return set.kind === 'endpoints' ? set.endpoints[0]?.workload : undefined;
  };
  const first = workload('uid-a');
  assert.notEqual(workload('uid-b'), first);
  assert.equal(workload('uid-a'), first);
});

test('of pods that ever were so many are remembered, and no number is given twice', () => {
  const destinations = newDestinations();
  const numbers = new Set<unknown>();
  for (let count = 0; count < 70_000; count++) {
    const set = destinations.set(message('10.1.0.5', 80, [{ ...peer, uid: `uid-${count}` }]));
    numbers.add(set.kind === 'endpoints' ? set.endpoints[0]?.workload : undefined);
  }
  assert.equal(numbers.size, 70_000);
  const again = destinations.set(message('10.1.0.5', 80, [{ ...peer, uid: 'uid-0' }]));
  assert.deepEqual(again, destinations.get(parseAddress('10.1.0.5'), 80));
  assert.ok(again.kind === 'endpoints' && !numbers.has(again.endpoints[0]?.workload));
});

test('two keys are equal only where address and port are', () => {
  const address = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.constantFrom('0.0.0.0', '255.255.255.255', '::', '::1', '::ffff:0'),
  );
  const port = fc.oneof(fc.nat(65535), fc.constantFrom(0, 1, 65535));
  fc.assert(
    fc.property(address, port, address, port, (a, portA, b, portB) => {
      const same = Buffer.compare(parseAddress(a), parseAddress(b)) === 0 && portA === portB;
      assert.equal(keyOf(parseAddress(a), portA) === keyOf(parseAddress(b), portB), same);
    }),
  );
  const neighbours = fc.tuple(fc.nat(0xffff), fc.nat(0xffff));
  fc.assert(
    fc.property(neighbours, neighbours, ([a, portA], [b, portB]) => {
      const key = (last: number, of: number): unknown => keyOf(parseAddress(`255.255.${last >> 8}.${last & 255}`), of);
      assert.equal(key(a, portA) === key(b, portB), a === b && portA === portB);
    }),
  );
});
