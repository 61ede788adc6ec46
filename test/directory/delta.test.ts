import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';

import { DestinationDeltaSchema } from '../../control-plane/gen/weft/v1/directory_pb.ts';
import { DestinationState } from '../../control-plane/directory/destination-state.ts';
import type { Destination } from '../../mesh/destination.ts';
import type { Endpoint } from '../../mesh/service.ts';
import { addressKey } from '../../mesh/service.ts';
import type { WorkloadFacts } from '../../mesh/workload.ts';
import { rememberMeshed } from '../../mesh/workload.ts';
import { applyDelta } from '../../node-agent/main/directory/messages.ts';
import { ReconnectBackoff } from '../../node-agent/main/directory/backoff.ts';
import { KnownDestinations } from '../../node-agent/main/directory/known-destinations.ts';

const workload = (uid: string, meshed: boolean | undefined): WorkloadFacts => ({
  uid,
  namespace: 'shop',
  name: uid,
  node: 'n1',
  serviceAccount: 'default',
  owner: undefined,
  templateHash: '',
  identity: 'default.shop.test',
  wanted: true,
  meshed,
  opaquePorts: [[25, 25]],
  skippedPorts: [[4567, 4568]],
});

const anyWorkload = fc.tuple(fc.constantFrom('u1', 'u2'), fc.boolean()).map(([uid, meshed]) => workload(uid, meshed));
const anyEndpoint: fc.Arbitrary<Endpoint> = fc.record(
  {
    address: fc.constantFrom('10.0.0.1', '10.0.0.2', 'fd00::1', '10.0.0.4'),
    port: fc.constantFrom(80, 81),
    ready: fc.boolean(),
    serving: fc.boolean(),
    terminating: fc.boolean(),
    node: fc.constantFrom('', 'n1'),
    zone: fc.constantFrom('', 'z1'),
    workload: fc.option(anyWorkload, { nil: undefined }),
  },
  { noNullPrototype: true },
);
const anyDestination: fc.Arbitrary<Destination> = fc.oneof(
  fc.constantFrom<Destination>({ kind: 'unknown' }, { kind: 'external' }),
  fc
    .tuple(
      anyWorkload,
      fc.constantFrom(undefined, { address: '10.0.0.1', port: 80 }, { address: '10.0.0.1', port: 81 }),
    )
    .map(([one, target]): Destination => ({ kind: 'workload', workload: one, ...(target && { target }) })),
  {
    weight: 4,
    arbitrary: fc
      .tuple(fc.constantFrom('a', 'b'), fc.array(anyEndpoint, { maxLength: 6 }), fc.boolean(), fc.boolean())
      .map(([name, endpoints, sessionAffinity, nodeLocal]): Destination => ({
        kind: 'service',
        service: {
          namespace: 'shop',
          name,
          portName: 'http',
          appProtocol: '',
          opaquePorts: [[80, 80]],
          sessionAffinity,
          nodeLocal,
        },
        endpoints: new Map(endpoints.map((endpoint) => [addressKey(endpoint.address, endpoint.port), endpoint])),
      })),
  },
);

test('an agent that applies deltas from whatever version it had ends with what the controller has', () => {
  fc.assert(
    fc.property(
      anyDestination,
      fc.array(fc.record({ destination: anyDestination, isTold: fc.boolean() }), { maxLength: 12 }),
      (first, changes) => {
        const state = new DestinationState('10.96.0.1:80', '10.96.0.1', 80, first, 1);
        let known: Destination | undefined;
        let version = 0;
        const tell = (): void => {
          const message = state.messageSince(version);
          if (message === undefined) return;
          const delta = fromBinary(DestinationDeltaSchema, toBinary(DestinationDeltaSchema, message));
          known = applyDelta(known, delta);
          version = Number(delta.version);
        };
        let current = first;
        for (const [index, { destination, isTold }] of changes.entries()) {
          state.update(destination, index + 2);
          current = destination;
          if (isTold) tell();
        }
        tell();
        assert.deepEqual(normal(known), normal(current));
        assert.equal(state.messageSince(version), undefined);
      },
    ),
    { numRuns: 500 },
  );
});

/** The order of endpoints means nothing. */
function normal(destination: Destination | undefined): unknown {
  if (destination?.kind !== 'service') return destination;
  return { ...destination, endpoints: [...destination.endpoints].sort(([a], [b]) => (a < b ? -1 : 1)) };
}

test('a peer stays meshed until its agent says otherwise, and only itself', () => {
  const known = workload('u1', true);
  assert.equal(rememberMeshed(known, workload('u1', undefined)).meshed, true);
  assert.equal(rememberMeshed(known, workload('u1', false)).meshed, false);
  assert.equal(rememberMeshed(known, workload('u2', undefined)).meshed, undefined);
  assert.equal(rememberMeshed(undefined, workload('u1', undefined)).meshed, undefined);
});

test('destinations expire when they are idle, least recently used first, and the rest stays', () => {
  const known = new KnownDestinations({ maximum: 3, idleMs: 100 });
  known.add('10.0.0.1', 80, 0);
  known.add('10.0.0.2', 80, 10);
  known.add('10.0.0.3', 80, 20);
  assert.notEqual(known.use('10.0.0.1', 80, 90), undefined);
  assert.deepEqual(
    known.expire(115).map(({ address }) => address),
    ['10.0.0.2'],
  );
  assert.equal(known.use('10.0.0.2', 80, 115), undefined);
  known.add('10.0.0.4', 80, 116);
  known.add('10.0.0.5', 80, 117);
  assert.deepEqual(
    known.expire(117).map(({ address }) => address),
    ['10.0.0.3'],
  );
  assert.equal(known.size, 3);
});

test('waits between attempts double up to ten seconds, spread, and start anew after a success', () => {
  const longest = new ReconnectBackoff(() => 1);
  assert.deepEqual(
    Array.from({ length: 9 }, () => longest.next()),
    [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000],
  );
  longest.succeeded();
  assert.equal(longest.next(), 100);
  assert.equal(new ReconnectBackoff(() => 0).next(), 50);
});
