import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { Destination, ServiceFacts } from '../../mesh/destination.ts';
import type { Endpoint } from '../../mesh/service.ts';
import type { WorkloadFacts } from '../../mesh/workload.ts';
import { TestLink, behind, enrolled, namesOf, peer, service, workload } from './test-mesh-link.ts';

test('of a source it is told how long ago it changed: once it is to be meshed, is, or is not any more', () => {
  const test = new TestLink();
  const told = (facts: WorkloadFacts): number | undefined => {
    test.link.learn('10.1.0.5', 0, { kind: 'workload', workload: facts });
    const [destination] = test.newDestinations();
    assert.ok(destination?.kind === 'endpoints');
    return destination.changedMs;
  };
  const settled = workload('db', { wanted: false, meshed: false });
  assert.equal(told(settled), undefined);
  assert.equal(told({ ...settled, opaquePorts: [[1, 2]] }), undefined);
  for (const facts of [
    { ...settled, wanted: true },
    { ...settled, wanted: true, meshed: true },
    { ...settled, wanted: false, meshed: true },
    settled,
  ]) {
    const first = told(facts);
    assert.ok(first !== undefined && first < 1000, JSON.stringify(facts));
    assert.ok((told(facts) ?? -1) >= first, 'the same again is no change');
  }
  test.link.forget('10.1.0.5', 0);
  assert.equal(test.news().length, 1);
  assert.equal(told(workload('db')), undefined);
  assert.ok(told(workload('heir', { meshed: undefined })) !== undefined);
});

test('what a worker asks for is told where the directory knows it, later where it does not', () => {
  const test = new TestLink();
  test.link.resolve('10.96.0.1', 80);
  assert.deepEqual(test.news(), []);
  test.link.learn('10.96.0.1', 80, { kind: 'unknown' });
  test.known.set('10.96.0.2:80', { kind: 'external' });
  test.link.resolve('10.96.0.2', 80);
  assert.deepEqual(test.news(), [
    { type: 'destination', address: '10.96.0.1', port: 80, destination: { kind: 'unknown' } },
    { type: 'destination', address: '10.96.0.2', port: 80, destination: { kind: 'external', protocol: 'detect' } },
  ]);
  test.link.forget('10.96.0.1', 80);
  assert.deepEqual(test.news(), [{ type: 'forget-destination', address: '10.96.0.1', port: 80 }]);
  assert.deepEqual(
    test.link.greetings().map((message) => 'address' in message && message.address),
    ['10.96.0.2'],
  );
});

test('whether a pod of another node is meshed is what its agent says; undecided only where it is to be', () => {
  const cases: [Partial<WorkloadFacts>, boolean | undefined][] = [
    [{ meshed: true }, true],
    [{ meshed: false }, false],
    [{ meshed: undefined }, undefined],
    [{ meshed: undefined, wanted: false }, false],
    [{ meshed: true, wanted: false }, true], // it is about to leave
  ];
  const test = new TestLink();
  test.pods.set(enrolled('db', 4)); // a uid of this node does not make it local
  for (const [changed, meshed] of cases) {
    test.link.learn('10.1.0.5', 8080, { kind: 'workload', workload: workload('db', changed) });
    assert.deepEqual(test.newDestinations(), [
      { kind: 'endpoints', protocol: 'detect', endpoints: [{ ...peer, meshed }] },
    ]);
  }
});

test('of pods of this node the capture counts, not what the directory has heard', () => {
  const test = new TestLink();
  for (const meshed of [true, false, undefined]) {
    test.link.learn('10.1.0.5', 8080, { kind: 'workload', workload: workload('db', { node: 'n1', meshed }) });
    assert.deepEqual(test.newDestinations(), [
      { kind: 'endpoints', protocol: 'detect', endpoints: [{ ...peer, meshed: false }] },
    ]);
  }
  test.pods.set(enrolled('db', 4));
  for (const meshed of [true, false, undefined]) {
    test.link.learn('10.1.0.5', 8080, { kind: 'workload', workload: workload('db', { node: 'n1', meshed }) });
    const endpoints = [{ ...peer, meshed: true, localPod: 4 }];
    assert.deepEqual(test.newDestinations(), [{ kind: 'endpoints', protocol: 'detect', endpoints }]);
  }
});

test('while an earlier agent may have captured pods that are not adopted yet, nobody says of one that it is not meshed', () => {
  const test = new TestLink({ hasAdopted: false });
  const told = (): unknown[] =>
    test.newDestinations().map((destination) => 'endpoints' in destination && destination.endpoints);
  test.pods.set(enrolled('web', 3));
  test.link.learn('10.1.0.5', 8080, { kind: 'workload', workload: workload('db', { node: 'n1' }) });
  test.link.learn('10.1.0.6', 80, { kind: 'workload', workload: workload('web', { node: 'n1' }) });
  const adopted = {
    address: '10.1.0.6',
    port: 80,
    identity: 'web.shop.mesh',
    uid: 'uid-web',
    meshed: true,
    localPod: 3,
    names: namesOf('web'),
  };
  assert.deepEqual(told(), [[{ ...peer, meshed: undefined }], [adopted]]);
  test.link.adopted();
  assert.deepEqual(test.reports, ['joined uid-web']);
  assert.deepEqual(told().slice(-2), [[{ ...peer, meshed: false }], [adopted]]);
});

test('of a service those are endpoints that are ready, or else those that still serve', () => {
  const at = (last: number, changed: Partial<Endpoint>): Endpoint =>
    behind(workload('db', { uid: `uid-${last}` }), { address: `10.1.0.${last}`, ...changed });
  const notReady = { ready: false, serving: false };
  const serving = { ready: false, serving: true, terminating: true };
  const cases: [Endpoint[], number[]][] = [
    [[], []],
    [
      [at(1, {}), at(2, {}), at(3, notReady), at(4, serving)],
      [1, 2],
    ],
    [
      [at(1, notReady), at(2, serving), at(3, serving)],
      [2, 3],
    ],
    [[at(1, notReady)], []],
  ];
  const test = new TestLink();
  for (const [endpoints, usable] of cases) {
    test.link.learn('10.96.0.1', 80, service(...endpoints));
    const expected = usable.map((last) => ({ ...peer, address: `10.1.0.${last}`, uid: `uid-${last}`, meshed: true }));
    const to = { namespace: 'shop', name: 'db' };
    assert.deepEqual(test.newDestinations(), [
      { kind: 'endpoints', protocol: 'detect', endpoints: expected, service: to },
    ]);
  }
});

test('workers are told what a port speaks: as declared, opaque where the service or one of its pods says so, else to be detected', () => {
  const test = new TestLink();
  const protocolOf = (address: string, port: number, destination: Destination): unknown => {
    test.link.learn(address, port, destination);
    const [told] = test.newDestinations();
    return told !== undefined && 'protocol' in told ? told.protocol : undefined;
  };
  const opaquePod = workload('db', { opaquePorts: [[8080, 8080]] });
  const declared = (changed: Partial<ServiceFacts>, ...endpoints: Endpoint[]): Destination => {
    const base = service(...endpoints);
    return base.kind === 'service' ? { ...base, service: { ...base.service, ...changed } } : base;
  };
  const cases: [expected: string, address: string, port: number, destination: Destination][] = [
    ['detect', '10.1.0.5', 8081, { kind: 'workload', workload: opaquePod }],
    ['opaque', '10.1.0.5', 8080, { kind: 'workload', workload: opaquePod }],
    ['detect', '10.96.0.1', 80, service(behind(workload('db')))],
    ['opaque', '10.96.0.1', 80, service(behind(workload('db')), behind(opaquePod, { address: '10.1.0.6' }))],
    ['detect', '10.96.0.1', 8080, service(behind(opaquePod, { port: 9090 }))], // its own port counts, not the service's
    ['opaque', '10.96.0.1', 80, declared({ opaquePorts: [[80, 80]] }, behind(workload('db')))],
    ['http1', '10.96.0.1', 80, declared({ appProtocol: 'http', opaquePorts: [[80, 80]] }, behind(opaquePod))],
    ['http2', '10.96.0.1', 80, declared({ appProtocol: 'grpc' })],
    ['opaque', '10.96.0.1', 80, declared({ appProtocol: 'tcp' })],
    ['detect', '203.0.113.1', 80, { kind: 'external' }],
    ['opaque', '203.0.113.1', 5432, { kind: 'external' }],
  ];
  for (const [expected, address, port, destination] of cases)
    assert.equal(protocolOf(address, port, destination), expected, `${address} ${port}`);
});

test('workers are told where clients stay with their endpoint', () => {
  const test = new TestLink();
  const base = service(behind(undefined));
  assert.ok(base.kind === 'service');
  test.link.learn('10.96.0.1', 80, { ...base, service: { ...base.service, sessionAffinity: true } });
  const [told] = test.newDestinations();
  assert.ok(told?.kind === 'endpoints');
  assert.equal(told.sessionAffinity, true);
});

test('of a service that is local to nodes workers are told the endpoints of their own', () => {
  const test = new TestLink();
  const here = behind(undefined, { node: 'n1', address: '10.1.0.6' });
  const base = service(behind(undefined, { node: 'n2' }), here);
  assert.ok(base.kind === 'service');
  const endpointsOf = (nodeLocal: boolean): unknown => {
    test.link.learn('10.96.0.1', 80, { ...base, service: { ...base.service, nodeLocal } });
    const [told] = test.newDestinations();
    return told?.kind === 'endpoints' && told.endpoints.map(({ address }) => address);
  };
  assert.deepEqual(endpointsOf(false), ['10.1.0.5', '10.1.0.6']);
  assert.deepEqual(endpointsOf(true), ['10.1.0.6']);
});

test('a pod that is reached elsewhere than it was dialled is told by where it is', () => {
  const test = new TestLink();
  const target = { address: '10.1.0.5', port: 8080 };
  const facts = workload('db', { opaquePorts: [[8080, 8080]] });
  test.link.learn('192.0.2.1', 8099, { kind: 'workload', workload: facts, target });
  const [told] = test.newDestinations();
  assert.ok(told?.kind === 'endpoints');
  assert.equal(told.protocol, 'opaque');
  assert.deepEqual(
    told.endpoints.map(({ address, port }) => ({ address, port })),
    [target],
  );
});

test('an endpoint without a pod is no peer', () => {
  const test = new TestLink();
  test.link.learn('10.96.0.1', 80, service(behind(undefined)));
  const endpoints = [{ address: '10.1.0.5', port: 8080, meshed: false, identity: '', uid: '', localPod: 0 }];
  const to = { namespace: 'shop', name: 'db' };
  assert.deepEqual(test.newDestinations(), [{ kind: 'endpoints', protocol: 'detect', endpoints, service: to }]);
});
