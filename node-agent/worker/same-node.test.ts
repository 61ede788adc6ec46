import assert from 'node:assert/strict';
import { seriesMemoryBytes } from '../metrics/series-memory.ts';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { parseAddress } from '../../mesh/address.ts';
import { parsePorts } from '../../mesh/skips.ts';
import type { MessageToWorker, WorkerOptions } from './messages.ts';
import type { TestConnection } from './test-connection.ts';
import { FakeEngine } from './test-engine.ts';
import { Worker } from './worker.ts';

const actions = { refuse: 0, relayToApp: 1, relayOut: 2, hold: 4, tunnel: 6 };

const options: WorkerOptions = {
  slot: 0,
  brokerPath: '/nowhere',
  uid: 2102,
  clientsMap: -1,
  metricsMemory: -1,
  pipes: 8,
  pipeBytes: 65536,
  outboundConnectTimeoutMs: 1000,
  peerConnectTimeoutMs: 10_000,
  inboundConnectTimeoutMs: 300,
  idleTimeoutMs: 5000,
  drainTimeoutMs: 0,
  logConnections: false,
  identitySuffix: '.mesh',
  sameNodeMtls: false,
};

const names = ['web.shop.mesh', 'db.shop.mesh'] as const;
const addresses = ['10.0.0.7', '10.0.0.8'] as const;

type PodMessage = Extract<MessageToWorker, { type: 'pod' }>;

class SetUp {
  readonly worker: Worker;
  readonly engine: FakeEngine;
  readonly drained: number[] = [];
  #lastConnection = 0;

  constructor(t: TestContext, changed: Partial<WorkerOptions> = {}) {
    const engines: FakeEngine[] = [];
    this.worker = new Worker({
      options: { ...options, ...changed },
      createEngine: (engineOptions) => {
        const engine = new FakeEngine(engineOptions);
        engines.push(engine);
        return engine;
      },
      metricsMemory: new ArrayBuffer(seriesMemoryBytes),
      send: (message) => {
        if (message.type === 'pod-drained') this.drained.push(message.pod);
        return Promise.resolve(true);
      },
      exit: () => undefined,
    });
    const [engine] = engines;
    assert.ok(engine);
    this.engine = engine;
    t.after(() => {
      engine.connections = 0;
      this.worker.drain(0);
    });
    for (const pod of [1, 2]) {
      this.describe(pod);
      engine.options.onListener(pod, 61000, parseAddress(addresses[pod - 1] ?? ''), new Uint8Array(16));
    }
    for (const [index, address] of addresses.entries()) {
      const endpoint = { address, meshed: true, identity: names[index] ?? '', uid: address, localPod: index + 1 };
      for (const port of [80, 4567]) {
        this.worker.receive({
          type: 'destination',
          address,
          port,
          destination: { kind: 'endpoints', protocol: 'opaque', endpoints: [{ ...endpoint, port }] },
        });
      }
    }
  }

  describe(pod: number, changed: Partial<PodMessage> = {}): void {
    this.worker.receive({
      type: 'pod',
      pod,
      namespace: 'shop',
      name: `pod-${pod}`,
      owner: undefined,
      identity: names[pod - 1] ?? '',
      opaquePorts: [],
      skippedPorts: parsePorts('', '4567-4568'),
      skippedClients: [],
      ...changed,
    });
  }

  certify(): void {
    for (const identity of names) {
      this.worker.receive({
        type: 'credentials',
        identity,
        certificates: [],
        privateKey: new Uint8Array(),
        trustAnchors: [],
      });
    }
  }

  /** From the first pod to the second one, unless told otherwise. */
  connect(to: string = addresses[1], port = 80): { connection: TestConnection; decision: number[] } {
    const id = ++this.#lastConnection;
    const connection = { id, pod: 1, local: [to, port], remote: [addresses[0], 40000 + id] } as const;
    return { connection, decision: this.engine.connect(connection) };
  }
}

test('a connection to a pod of the node waits until a probe has passed, then goes straight to the app', (t) => {
  const set = new SetUp(t);
  const { engine } = set;
  set.certify();
  assert.deepEqual(set.connect().decision.slice(0, 2), [actions.hold, 3000]);
  set.connect();
  assert.deepEqual([...engine.probes.keys()], [1]);
  assert.equal(engine.resumed.length, 0);
  engine.options.onProbe(1, 'passed');
  assert.deepEqual(
    engine.resumed.map(([id, action, , , port, , , , , appPod]) => ({ id, action, port, appPod })),
    [1, 2].map((id) => ({ id, action: actions.relayToApp, port: 80, appPod: 2 })),
  );
  assert.deepEqual(set.connect().decision, [actions.relayToApp, 300, 5000, 80]);
});

test('what a probe finds blocked is refused, whoever waited and whoever comes next', (t) => {
  const set = new SetUp(t);
  set.certify();
  set.connect();
  set.connect();
  set.engine.options.onProbe(1, 'failed');
  assert.deepEqual(
    set.engine.resumed.map(([id, action]) => [id, action]),
    [
      [1, actions.refuse],
      [2, actions.refuse],
    ],
  );
  assert.equal(set.connect().decision[0], actions.refuse);
});

test('connections of a path that gets blocked are taken back, but none that has ended', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  let now = 1000;
  t.mock.method(performance, 'now', () => now);
  const set = new SetUp(t);
  set.certify();
  set.connect();
  set.engine.options.onProbe(1, 'passed');
  const second = set.connect();
  set.connect();
  set.engine.end(second.connection, { reason: 'finished' });
  now += 20_000;
  t.mock.timers.tick(250);
  assert.deepEqual([...set.engine.probes.keys()], [1, 2]);
  set.engine.options.onProbe(2, 'failed');
  set.engine.options.onProbe(3, 'failed');
  assert.deepEqual(set.engine.revoked, [1, 3]);
});

test('a probe waits for the certificate that it shows', (t) => {
  const set = new SetUp(t);
  assert.equal(set.connect().decision[0], actions.hold);
  assert.equal(set.engine.probes.size, 0);
  set.certify();
  assert.equal(set.engine.probes.size, 1);
});

test('a pod that nobody has described yet is waited for, as it may skip the port', (t) => {
  const set = new SetUp(t);
  set.certify();
  const endpoint = { port: 80, meshed: true, identity: 'new.shop.mesh', uid: 'new', localPod: 3 };
  set.worker.receive({
    type: 'destination',
    address: '10.0.0.9',
    port: 80,
    destination: { kind: 'endpoints', protocol: 'opaque', endpoints: [{ ...endpoint, address: '10.0.0.9' }] },
  });
  assert.equal(set.connect('10.0.0.9').decision[0], actions.hold);
  assert.equal(set.engine.probes.size, 0);
  set.describe(3, { identity: 'new.shop.mesh', skippedPorts: [[80, 80]] });
  assert.deepEqual(
    set.engine.resumed.map(([id, action]) => [id, action]),
    [[1, actions.relayOut]],
  );
});

test('what the server does not capture is dialled plainly: ports and clients that it skips', (t) => {
  for (const sameNodeMtls of [false, true]) {
    const set = new SetUp(t, { sameNodeMtls });
    set.certify();
    assert.deepEqual(set.connect(addresses[1], 4567).decision, [actions.relayOut, 1000, 5000, 4567]);
    set.describe(2, { skippedClients: [[parseAddress('10.0.0.0'), 96 + 29]] });
    assert.equal(set.connect().decision[0], actions.relayOut);
    set.describe(2, { skippedClients: [[parseAddress('10.0.0.8'), 96 + 29]] });
    assert.notEqual(set.connect().decision[0], actions.relayOut);
    assert.equal(set.engine.probes.size, sameNodeMtls ? 0 : 1);
  }
});

test('a pod that dials itself is not probed, as no network lies between, and has no listener to answer', (t) => {
  for (const sameNodeMtls of [false, true]) {
    const set = new SetUp(t, { sameNodeMtls });
    const service = { address: addresses[0], port: 80, meshed: true, identity: names[0], uid: 'x', localPod: 1 };
    set.worker.receive({
      type: 'destination',
      address: '10.96.0.1',
      port: 80,
      destination: { kind: 'endpoints', protocol: 'opaque', endpoints: [service] },
    });
    assert.equal(set.connect('10.96.0.1').decision[0], actions.relayToApp);
    assert.equal(set.engine.probes.size, 0);
  }
});

test('with --same-node mtls nothing is fused', (t) => {
  const set = new SetUp(t, { sameNodeMtls: true });
  set.certify();
  assert.equal(set.connect().decision[0], actions.tunnel);
  assert.equal(set.engine.probes.size, 0);
});

test('when the server is released, who waits for the probe is decided on anew', (t) => {
  const set = new SetUp(t);
  set.certify();
  set.connect();
  set.worker.receive({
    type: 'destination',
    address: addresses[1],
    port: 80,
    destination: {
      kind: 'endpoints',
      protocol: 'opaque',
      endpoints: [{ address: addresses[1], port: 80, meshed: false, identity: names[1], uid: 'y', localPod: 0 }],
    },
  });
  set.worker.receive({ type: 'pod-released', pod: 2 });
  assert.deepEqual(
    set.engine.resumed.map(([id, action]) => [id, action]),
    [[1, actions.relayOut]],
  );
});

test('a client that has left the mesh dials as those outside do, without the certificate that it has no more', (t) => {
  const set = new SetUp(t);
  assert.equal(set.connect().decision[0], actions.hold);
  set.worker.receive({ type: 'pod-released', pod: 1 });
  assert.deepEqual(
    set.engine.resumed.map(([id, action]) => [id, action]),
    [[1, actions.relayOut]],
  );
  assert.equal(set.connect().decision[0], actions.relayOut);
});

test('a server that has left the mesh is drained when nothing is open straight to its app any more', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const set = new SetUp(t);
  set.certify();
  const { connection } = set.connect();
  set.engine.options.onProbe(1, 'passed');
  set.worker.receive({ type: 'pod-released', pod: 2 });
  t.mock.timers.tick(1000);
  assert.deepEqual(set.drained, []);
  set.engine.end(connection, { reason: 'finished' });
  assert.deepEqual(set.drained, [2]);
});
