import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseNetwork } from '../mesh/address.ts';
import { lookUp } from '../mesh/destination.ts';
import type { OptedInNamespace } from '../mesh/namespace.ts';
import type { SourceObject } from '../mesh/objects.ts';
import { objectKey } from '../mesh/objects.ts';
import { testNamespace, testPod, testService, testSlice } from '../mesh/objects-test.ts';
import type { WorkloadRules } from '../mesh/workload.ts';
import { Model } from './model.ts';
import type { Delta } from './sources/source.ts';

const rules: WorkloadRules = {
  ownNamespace: 'weft',
  identityOf: ({ serviceAccount, namespace }) => `${serviceAccount}.${namespace}.test`,
};
const networks = [parseNetwork('10.0.0.0/8')];
const podAddresses = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const serviceAddresses = ['10.96.0.1', '10.96.0.2'];
const nodeAddresses = ['192.0.2.1', '10.2.2.2'];
const addresses = [...podAddresses, ...serviceAddresses, ...nodeAddresses, '10.1.1.1'];
const nodes = ['n1', 'n2'];
const uids = ['u1', 'u2', 'u3', 'u4'];

const upsert = (...objects: SourceObject[]): Delta[] => objects.map((object) => ({ type: 'upsert', object }));
const look = (model: Model, address: string, port = 80): ReturnType<typeof lookUp> =>
  lookUp(model, networks, address, port);

const podObject: fc.Arbitrary<SourceObject> = fc
  .record({
    uid: fc.constantFrom(...uids),
    nodeName: fc.constantFrom(...nodes),
    namespace: fc.constantFrom('shop', 'other'),
    addresses: fc.subarray(podAddresses, { maxLength: 2 }),
    phase: fc.constantFrom('Running', 'Pending', 'Failed'),
    hostNetwork: fc.boolean(),
    deleting: fc.boolean(),
    createdAt: fc.nat(2),
    hostPorts: fc.array(
      fc.record({
        port: fc.constantFrom(80, 81),
        containerPort: fc.constantFrom(8080, 8081),
        address: fc.constantFrom('', ...nodeAddresses),
      }),
      { maxLength: 1 },
    ),
  })
  .map(({ uid, ...fields }) => ({ kind: 'Pod', value: testPod(uid, fields) }));

const anyObject: fc.Arbitrary<SourceObject> = fc.oneof(
  { weight: 4, arbitrary: podObject },
  fc
    .record({ name: fc.constantFrom('shop', 'other'), enabled: fc.boolean(), skipped: fc.constantFrom('25', '26') })
    .map(({ name, enabled, skipped }) => ({
      kind: 'Namespace' as const,
      value: testNamespace(name, {
        labels: { 'weft.dev/mesh': enabled ? 'enabled' : 'disabled' },
        annotations: { 'config.linkerd.io/skip-inbound-ports': skipped },
      }),
    })),
  fc
    .record({
      name: fc.constantFrom('a', 'b'),
      addresses: fc.subarray(serviceAddresses),
      port: fc.constantFrom(80, 81),
      nodePort: fc.constantFrom(0, 80, 81),
    })
    .map(({ name, addresses, port, nodePort }) => {
      const service = testService(name, addresses, port);
      const ports = service.ports.map((one) => ({ ...one, nodePort }));
      return { kind: 'Service' as const, value: { ...service, ports } };
    }),
  fc
    .record({ name: fc.constantFrom(...nodes), addresses: fc.subarray(nodeAddresses) })
    .map(({ name, addresses }) => ({ kind: 'Node' as const, value: { name, zone: '', addresses, taints: [] } })),
  fc
    .record({
      service: fc.constantFrom('a', 'b'),
      name: fc.constantFrom('s1', 's2', 's3'),
      addresses: fc.subarray([...podAddresses, '10.1.1.1']),
      ready: fc.boolean(),
      isPod: fc.boolean(),
    })
    .map(({ service, name, addresses, ready, isPod }) => {
      const slice = testSlice(service, addresses, name);
      const endpoints = slice.endpoints.map((endpoint) => ({ ...endpoint, ready, isPod }));
      return { kind: 'EndpointSlice' as const, value: { ...slice, endpoints } };
    }),
);

type Step =
  | {
      readonly type: 'objects';
      readonly deltas: readonly { readonly exists: boolean; readonly object: SourceObject }[];
    }
  | { readonly type: 'report'; readonly node: string; readonly uid: string; readonly meshed: boolean }
  | { readonly type: 'node'; readonly node: string; readonly uids: readonly string[] };

const anyStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('objects' as const),
      deltas: fc.array(fc.record({ exists: fc.boolean(), object: anyObject }), { minLength: 1, maxLength: 4 }),
    }),
  },
  fc.record({
    type: fc.constant('report' as const),
    node: fc.constantFrom(...nodes),
    uid: fc.constantFrom(...uids),
    meshed: fc.boolean(),
  }),
  fc.record({ type: fc.constant('node' as const), node: fc.constantFrom(...nodes), uids: fc.subarray(uids) }),
);

test('after any changes the model is the one that is built from scratch, and each change names what it touches', () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 25 }), (steps) => {
      const model = new Model(rules);
      const objects = new Map<string, SourceObject>();
      let touched = new Set<string>();
      const told = new Map<string, OptedInNamespace>();
      model.onChange((change) => {
        touched = new Set(change.addresses);
        for (const [name, namespace] of change.namespaces) {
          if (namespace === undefined) told.delete(name);
          else told.set(name, namespace);
        }
      });
      for (const step of steps) {
        const before = new Map(addresses.map((address) => [address, [look(model, address), look(model, address, 81)]]));
        touched = new Set();
        if (step.type === 'report') model.report(step.node, step.uid, step.meshed);
        else if (step.type === 'node') model.reportNode(step.node, step.uids);
        else {
          const deltas = step.deltas.map(({ exists, object }): Delta => {
            if (exists) objects.set(objectKey(object), object);
            else objects.delete(objectKey(object));
            return { type: exists ? 'upsert' : 'delete', object };
          });
          model.apply(deltas);
        }
        for (const address of addresses) {
          if (touched.has(address)) continue;
          assert.deepEqual([look(model, address), look(model, address, 81)], before.get(address), address);
        }
      }
      const scratch = new Model(rules);
      for (const node of nodes) if (model.hasReported(node)) scratch.reportNode(node, model.capturedBy(node));
      scratch.apply(upsert(...objects.values()));
      for (const address of addresses) {
        for (const port of [80, 81]) assert.deepEqual(look(model, address, port), look(scratch, address, port));
      }
      const byUid = (a: { uid: string }, b: { uid: string }): number => (a.uid < b.uid ? -1 : 1);
      const byName = (a: { name: string }, b: { name: string }): number => (a.name < b.name ? -1 : 1);
      const optedIn = [...scratch.optedInNamespaces()].sort(byName);
      assert.deepEqual([...model.optedInNamespaces()].sort(byName), optedIn);
      assert.deepEqual([...told.values()].sort(byName), optedIn);
      for (const node of nodes) {
        assert.deepEqual(model.workloadsOf(node).sort(byUid), scratch.workloadsOf(node).sort(byUid));
      }
    }),
    { numRuns: 500 },
  );
});

test('a service leads to its endpoints, a pod to itself, the rest by its network', () => {
  const model = new Model(rules);
  model.apply(
    upsert(
      { kind: 'Namespace', value: testNamespace('shop') },
      { kind: 'Pod', value: testPod('u1', { addresses: ['10.0.0.1'], serviceAccount: 'web' }) },
      { kind: 'Pod', value: testPod('host', { addresses: ['10.9.9.9'], hostNetwork: true }) },
      { kind: 'Service', value: testService('web', ['10.96.0.1']) },
      { kind: 'EndpointSlice', value: testSlice('web', ['10.0.0.1', '10.0.0.2']) },
    ),
  );
  const service = look(model, '10.96.0.1');
  assert.ok(service.kind === 'service');
  assert.deepEqual([...service.endpoints.keys()], ['10.0.0.1:8080', '10.0.0.2:8080']);
  assert.equal(service.endpoints.get('10.0.0.1:8080')?.workload?.identity, 'web.shop.test');
  assert.equal(service.endpoints.get('10.0.0.2:8080')?.workload, undefined);
  const otherPort = look(model, '10.96.0.1', 99);
  assert.ok(otherPort.kind === 'service');
  assert.equal(otherPort.endpoints.size, 0);
  const pod = look(model, '10.0.0.1', 1234);
  assert.ok(pod.kind === 'workload');
  assert.equal(pod.workload.uid, 'u1');
  assert.equal(look(model, '10.9.9.9').kind, 'external');
  assert.equal(look(model, '10.1.1.1').kind, 'unknown');
  assert.equal(look(model, '192.0.2.1').kind, 'external');
});

test('a workload is meshed when the agent of its own node says so, and undecided before that agent has spoken', () => {
  const model = new Model(rules);
  const meshed = (): unknown => model.workload('u1')?.meshed;
  model.reportNode('n2', ['u1']);
  model.apply(upsert({ kind: 'Pod', value: testPod('u1', { addresses: ['10.0.0.1'] }) }));
  assert.equal(meshed(), undefined);
  model.reportNode('n1', []);
  assert.equal(meshed(), false);
  model.report('n1', 'u1', true);
  assert.equal(meshed(), true);
  model.reportNode('n1', []);
  assert.equal(meshed(), false);
});

test('of two pods with one address the one that stays counts, then the younger', () => {
  const model = new Model(rules);
  const owner = (): unknown => {
    const found = look(model, '10.0.0.1');
    return found.kind === 'workload' ? found.workload.uid : found.kind;
  };
  const pod = (uid: string, fields: object): SourceObject => ({
    kind: 'Pod',
    value: testPod(uid, { addresses: ['10.0.0.1'], ...fields }),
  });
  model.apply(upsert(pod('old', { createdAt: 1, phase: 'Failed' })));
  assert.equal(owner(), 'unknown');
  model.apply(upsert(pod('old', { createdAt: 1 }), pod('young', { createdAt: 2 })));
  assert.equal(owner(), 'young');
  model.apply(upsert(pod('young', { createdAt: 2, deleting: true })));
  assert.equal(owner(), 'old');
});

test('that a pod is ready changes nothing of what agents are told', () => {
  const model = new Model(rules);
  const pod = (uid: string, fields: object): SourceObject => ({ kind: 'Pod', value: testPod(uid, fields) });
  model.apply(upsert(pod('u1', { addresses: ['10.0.0.1'] })));
  const { version } = model;
  model.apply(upsert(pod('u1', { addresses: ['10.0.0.1'], ready: true })));
  assert.equal(model.version, version);
  model.apply(upsert(pod('u1', { addresses: ['10.0.0.2'], ready: false })));
  assert.equal(model.version, version + 1);
});

test('a service of both families leads from each address to the endpoints of its family', () => {
  const model = new Model(rules);
  model.apply(
    upsert(
      { kind: 'Service', value: testService('a', ['10.96.0.1', 'fd00:96::1'], 80) },
      { kind: 'EndpointSlice', value: testSlice('a', ['10.0.0.1', '10.0.0.2'], 'ipv4') },
      { kind: 'EndpointSlice', value: testSlice('a', ['fd00::1'], 'ipv6') },
    ),
  );
  const endpointsOf = (address: string): string[] => {
    const found = look(model, address);
    return found.kind === 'service' ? [...found.endpoints.values()].map((endpoint) => endpoint.address) : [];
  };
  assert.deepEqual(endpointsOf('10.96.0.1'), ['10.0.0.1', '10.0.0.2']);
  assert.deepEqual(endpointsOf('fd00:96::1'), ['fd00::1']);
});

test("a node's port leads to the service or the pod that has it, on the nodes where it does", () => {
  const model = new Model(rules);
  const service = testService('web', ['10.96.0.1']);
  const ports = service.ports.map((port) => ({ ...port, nodePort: 30080 }));
  const hostPorts = [
    { port: 8099, containerPort: 8080, address: '' },
    { port: 8098, containerPort: 8081, address: '192.0.2.9' },
  ];
  const inside = '10.9.9.8';
  assert.equal(look(model, inside).kind, 'unknown');
  model.apply(
    upsert(
      { kind: 'Node', value: { name: 'n3', zone: '', addresses: [inside], taints: [] } },
      { kind: 'Node', value: { name: 'n1', zone: '', addresses: ['192.0.2.1'], taints: [] } },
      { kind: 'Node', value: { name: 'n2', zone: '', addresses: ['10.2.2.2'], taints: [] } },
      { kind: 'Pod', value: testPod('u1', { addresses: ['10.0.0.1', 'fd00::1'], hostPorts }) },
      { kind: 'Service', value: { ...service, ports, nodeLocal: true } },
      { kind: 'EndpointSlice', value: testSlice('web', ['10.0.0.1', '10.0.0.2']) },
    ),
  );
  for (const address of nodeAddresses) {
    const found = look(model, address, 30080);
    assert.ok(found.kind === 'service');
    assert.deepEqual([...found.endpoints.keys()], ['10.0.0.1:8080', '10.0.0.2:8080']);
    assert.equal(found.service.nodeLocal, false); // of its own address only
  }
  const pod = look(model, '192.0.2.1', 8099);
  assert.ok(pod.kind === 'workload');
  assert.deepEqual([pod.workload.uid, pod.target], ['u1', { address: '10.0.0.1', port: 8080 }]);
  for (const [address, port] of [
    ['10.2.2.2', 8099],
    ['192.0.2.1', 8098],
    ['192.0.2.1', 30081],
    ['192.0.2.3', 30080],
    [inside, 80],
  ] as const)
    assert.equal(look(model, address, port).kind, 'external', `${address} ${port}`);
});

test("a pod's endpoint is used once the pod is known, as it may be meshed", () => {
  const model = new Model(rules);
  const slice = testSlice('web', ['10.0.0.1', '10.0.0.2']);
  const [pod, host] = slice.endpoints;
  assert.ok(pod && host);
  const endpoints = [{ ...pod, isPod: true }, host];
  model.apply(
    upsert(
      { kind: 'Service', value: testService('web', ['10.96.0.1']) },
      { kind: 'EndpointSlice', value: { ...slice, endpoints } },
    ),
  );
  const known = (): string[] => {
    const found = look(model, '10.96.0.1');
    return found.kind === 'service' ? [...found.endpoints.values()].map(({ address }) => address) : [];
  };
  assert.deepEqual(known(), ['10.0.0.2']);
  model.apply(upsert({ kind: 'Pod', value: testPod('u1', { addresses: ['10.0.0.1'] }) }));
  assert.deepEqual(known(), ['10.0.0.1', '10.0.0.2']);
});
