import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import fc from 'fast-check';

import type { Destination, ServiceFacts } from '../../mesh/destination.ts';
import type { Endpoint } from '../../mesh/service.ts';
import { addressKey } from '../../mesh/service.ts';
import type { OwnWorkload, WorkloadFacts } from '../../mesh/workload.ts';
import type { DestinationMessage, EndpointNames, MessageToWorker } from '../worker/messages.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import { EnrolledPods } from './enrolled-pods.ts';
import { MeshLink } from './mesh-link.ts';

const folder = mkdtempSync(join(tmpdir(), 'weft-mesh-link-'));
after(() => rmSync(folder, { recursive: true }));

const made = { owner: { kind: 'deployment', name: 'shop' }, templateHash: '5d69b8d9c8' } as const;

function workload(name: string, changed: Partial<WorkloadFacts> = {}): WorkloadFacts {
  return {
    uid: `uid-${name}`,
    namespace: 'shop',
    name,
    node: 'n2',
    serviceAccount: name,
    ...made,
    identity: `${name}.shop.mesh`,
    wanted: true,
    meshed: true,
    opaquePorts: [],
    skippedPorts: [],
    ...changed,
  };
}

function ownWorkload(name: string, changed: Partial<OwnWorkload> = {}): OwnWorkload {
  return {
    ...workload(name, { node: 'n1', opaquePorts: [[3306, 3306]] }),
    addresses: [],
    phase: 'Running',
    containerPorts: [],
    configuration: {},
    unwantedReason: '',
    ...changed,
  };
}

function enrolled(name: string, id: number): EnrolledPod {
  return {
    uid: `uid-${name}`,
    namespace: 'shop',
    name,
    id,
    cookie: BigInt(id),
    netnsPath: '',
    ipv4: undefined,
    ipv6: undefined,
    skips: { inboundPorts: [], outboundPorts: [], subnets: [] },
    ports: [],
    containerId: undefined,
  };
}

function behind(facts: WorkloadFacts | undefined, changed: Partial<Endpoint> = {}): Endpoint {
  const address = '10.1.0.5';
  const flags = { ready: true, serving: true, terminating: false };
  return { address, port: 8080, ...flags, node: facts?.node ?? '', zone: '', workload: facts, ...changed };
}

function service(...endpoints: Endpoint[]): Destination {
  const facts = {
    namespace: 'shop',
    name: 'db',
    portName: '',
    appProtocol: '',
    opaquePorts: [],
    sessionAffinity: false,
    nodeLocal: false,
  };
  const byKey = new Map(endpoints.map((one) => [addressKey(one.address, one.port), one]));
  return { kind: 'service', service: facts, endpoints: byKey };
}

/** Mesh link of the node n1, with a directory that knows what the test puts there. */
class TestLink {
  readonly told: MessageToWorker[] = [];
  readonly reports: string[] = [];
  readonly wanted: string[][] = [];
  readonly workloads = new Map<string, OwnWorkload>();
  readonly known = new Map<string, Destination>();
  readonly pods = new EnrolledPods(join(folder, 'pods.json'));
  /** Resolves what is leaving. */
  readonly acknowledge: (() => void)[] = [];
  readonly link = new MeshLink({
    nodeName: 'n1',
    pods: this.pods,
    directory: {
      workloads: this.workloads,
      lookUp: (address, port) => this.known.get(addressKey(address, port)),
      joined: (uid) => this.reports.push(`joined ${uid}`),
      leave: (uid) => {
        this.reports.push(`leave ${uid}`);
        return new Promise((resolve) => this.acknowledge.push(() => resolve([])));
      },
    },
    wantIdentities: (identities) => this.wanted.push([...identities].sort()),
    tellWorkers: (message) => this.told.push(message),
  });

  constructor(options = { hasAdopted: true }) {
    if (options.hasAdopted) this.link.adopted();
  }

  /** As the agent does when a pod's capture has proven itself. */
  join(name: string, id: number): EnrolledPod {
    const pod = enrolled(name, id);
    this.pods.set(pod);
    this.told.push(this.link.describe(pod));
    this.link.joined(pod);
    return pod;
  }

  release(pod: EnrolledPod): void {
    this.pods.delete(pod.uid);
    this.link.left(pod);
  }

  /** Told since the last call. */
  news(): MessageToWorker[] {
    return this.told.splice(0);
  }

  newDestinations(): DestinationMessage['destination'][] {
    return this.news().flatMap((message) => (message.type === 'destination' ? [message.destination] : []));
  }
}

function namesOf(name: string): EndpointNames {
  return { namespace: 'shop', pod: name, serviceAccount: name, ...made, zone: '' };
}

const peer = {
  ...{ address: '10.1.0.5', port: 8080, identity: 'db.shop.mesh', uid: 'uid-db', localPod: 0 },
  names: namesOf('db'),
};

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

test('a pod that joins is reported, described, announced, and reached another way', () => {
  const test = new TestLink();
  const own = ownWorkload('web');
  test.workloads.set(own.uid, own);
  test.link.learn('10.96.0.1', 80, service(behind(own), behind(workload('db'), { address: '10.1.0.6' })));
  test.link.learn('10.96.0.2', 80, service(behind(workload('db'))));
  test.news();
  const pod = enrolled('web', 4);
  test.pods.set(pod);
  test.link.joined(pod);
  assert.deepEqual(test.reports, ['joined uid-web']);
  assert.deepEqual(test.wanted, [['web.shop.mesh']]);
  const [described, announced, again, ...rest] = test.news();
  assert.deepEqual(described, {
    type: 'pod',
    pod: 4,
    namespace: 'shop',
    name: 'web',
    owner: made.owner,
    identity: 'web.shop.mesh',
    opaquePorts: [[3306, 3306]],
    skippedPorts: [],
    skippedClients: [],
  });
  assert.ok(announced?.type === 'announced');
  assert.ok(announced.announcedMs !== undefined && announced.announcedMs >= 0 && announced.announcedMs < 5000);
  assert.ok(again?.type === 'destination' && again.destination.kind === 'endpoints');
  assert.deepEqual(
    again.destination.endpoints.map(({ meshed, localPod }) => [meshed, localPod]),
    [
      [true, 4],
      [true, 0],
    ],
  );
  assert.deepEqual(rest, [], 'nobody is told again what has not changed');
});

test('a pod that leaves is announced no more, stays reachable as it is, and leaves when its peers know', async () => {
  const test = new TestLink();
  const own = ownWorkload('web');
  test.workloads.set(own.uid, own);
  test.link.learn('10.1.0.7', 80, { kind: 'workload', workload: own });
  const pod = test.join('web', 4);
  test.news();
  let hasLeft = false;
  const leaving = test.link.leave(pod).then(() => (hasLeft = true));
  assert.deepEqual(test.news(), [{ type: 'announced', pod: 4, announcedMs: undefined }]);
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web']);
  await Promise.resolve();
  assert.equal(hasLeft, false);
  test.acknowledge.forEach((acknowledge) => acknowledge());
  await leaving;
  test.release(pod);
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web'], 'it is not reported twice');
  const endpoints = [
    {
      ...{ address: '10.1.0.7', port: 80, meshed: false, identity: 'web.shop.mesh', uid: 'uid-web', localPod: 0 },
      names: namesOf('web'),
    },
  ];
  assert.deepEqual(test.news(), [
    {
      type: 'destination',
      address: '10.1.0.7',
      port: 80,
      destination: { kind: 'endpoints', protocol: 'detect', endpoints },
    },
  ]);
  assert.deepEqual(test.wanted.at(-1), []);
});

test('a pod that is gone at once is reported all the same; one that never joined is not', async () => {
  const test = new TestLink();
  test.release(test.join('web', 4));
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web']);
  const never = enrolled('db', 5);
  test.pods.set(never);
  await test.link.leave(never);
  test.release(never);
  assert.equal(test.reports.length, 2);
});

test('a pod that joins again is announced anew, under its new number', async () => {
  const test = new TestLink();
  const own = ownWorkload('web');
  test.workloads.set(own.uid, own);
  test.link.learn('10.1.0.7', 80, { kind: 'workload', workload: own });
  const first = test.join('web', 4);
  const leaving = test.link.leave(first);
  test.acknowledge.forEach((acknowledge) => acknowledge());
  await leaving;
  test.release(first);
  test.news();
  test.join('web', 9);
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web', 'joined uid-web']);
  const news = test.news();
  const announced = news.find((message) => message.type === 'announced');
  assert.deepEqual([announced?.pod, announced?.announcedMs !== undefined], [9, true]);
  const [destination] = news.flatMap((message) => (message.type === 'destination' ? [message.destination] : []));
  assert.ok(destination?.kind === 'endpoints');
  assert.deepEqual([destination.endpoints[0]?.meshed, destination.endpoints[0]?.localPod], [true, 9]);
});

test("news of the node's workloads reach the workers, and only identities of captured pods are wanted", () => {
  const test = new TestLink();
  test.join('web', 4);
  assert.deepEqual(test.wanted.at(-1), [], 'nobody has said yet who it is');
  const identities = (): unknown =>
    test.news().flatMap((message) => (message.type === 'pod' ? [[message.pod, message.identity]] : []));
  assert.deepEqual(identities(), [[4, ''], [4, '']]); // prettier-ignore
  test.workloads.set('uid-web', ownWorkload('web'));
  test.workloads.set('uid-other', ownWorkload('other'));
  test.link.learnWorkloads(test.workloads);
  assert.deepEqual(identities(), [[4, 'web.shop.mesh']]);
  assert.deepEqual(test.wanted.at(-1), ['web.shop.mesh']);
});

/** What a worker knows that has heard these messages. */
class Heard {
  readonly pods = new Map<number, MessageToWorker>();
  readonly announced = new Set<number>();
  readonly destinations = new Map<string, unknown>();

  constructor(messages: Iterable<MessageToWorker>) {
    for (const message of messages) {
      if (message.type === 'pod') this.pods.set(message.pod, message);
      else if (message.type === 'announced' && message.announcedMs !== undefined) this.announced.add(message.pod);
      else if (message.type === 'announced') this.announced.delete(message.pod);
      else if (message.type === 'destination')
        this.destinations.set(addressKey(message.address, message.port), message.destination);
      else if (message.type === 'forget-destination')
        this.destinations.delete(addressKey(message.address, message.port));
    }
  }

  /** Of these pods: the others are told of by who releases them. */
  about(ids: ReadonlySet<number>): unknown {
    return {
      pods: new Map([...this.pods].filter(([id]) => ids.has(id)).sort(([a], [b]) => a - b)),
      announced: new Set([...this.announced].filter((id) => ids.has(id)).sort()),
      destinations: new Map([...this.destinations].sort()),
    };
  }
}

const names = ['a', 'b', 'c'] as const;
const name = fc.constantFrom(...names);
const meshed = fc.constantFrom(true, false, undefined);
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom('join', 'leave', 'release', 'describe', 'disappear'), name }),
  fc.record({ kind: fc.constant('learn'), name, node: fc.constantFrom('n1', 'n2'), meshed, asService: fc.boolean() }),
  fc.record({ kind: fc.constant('forget'), name }),
);

test('whatever happens, a worker that starts is told what one has been told that was always there', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const test = new TestLink();
      const heard: MessageToWorker[] = [];
      let lastId = 0;
      for (const one of steps) {
        const pod = test.pods.get(`uid-${one.name}`);
        const address = `10.1.0.${names.indexOf(one.name)}`;
        if ('node' in one) {
          const facts = workload(one.name, { node: one.node, meshed: one.meshed });
          const other = behind(workload('other'), { address: '10.1.0.9' });
          const destination: Destination = one.asService
            ? service(behind(facts, { address }), other)
            : { kind: 'workload', workload: facts };
          test.link.learn(address, 80, destination);
        } else if (one.kind === 'forget') test.link.forget(address, 80);
        else if (one.kind === 'describe' || one.kind === 'disappear') {
          if (one.kind === 'describe') test.workloads.set(`uid-${one.name}`, ownWorkload(one.name));
          else test.workloads.delete(`uid-${one.name}`);
          test.link.learnWorkloads(test.workloads);
        } else if (one.kind === 'join' && pod === undefined) test.join(one.name, ++lastId);
        else if (one.kind === 'leave' && pod !== undefined) void test.link.leave(pod);
        else if (one.kind === 'release' && pod !== undefined) test.release(pod);
        heard.push(...test.news());
        const ids = new Set(test.pods.values().map(({ id }) => id));
        assert.deepEqual(new Heard(heard).about(ids), new Heard(test.link.greetings()).about(ids));
      }
    }),
    { numRuns: 60 },
  );
});
