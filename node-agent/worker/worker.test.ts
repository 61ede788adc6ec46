import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { parseAddress } from '../../mesh/address.ts';
import { seriesMemoryBytes } from '../metrics/series-memory.ts';
import { actions } from './connection-record.ts';
import { detections } from './inbound.ts';
import type { ConnectionReport, DestinationMessage, MessageToMain, WorkerOptions } from './messages.ts';
import { readMessageToMain } from './messages.ts';
import type { TestConnection } from './test-connection.ts';
import { FakeEngine } from './test-engine.ts';
import { endpoint } from './test-policy.ts';
import { Worker } from './worker.ts';

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
  logConnections: true,
  identitySuffix: '.serviceaccount.identity.weft-system.cluster.local',
  sameNodeMtls: false,
};

interface SetUp {
  readonly worker: Worker;
  readonly engine: FakeEngine;
  readonly sent: MessageToMain[];
  readonly exited: Promise<void>;
  mainTakes: boolean;
}

function setUp(t: TestContext, changed: Partial<WorkerOptions> = {}): SetUp {
  const engines: FakeEngine[] = [];
  const sent: MessageToMain[] = [];
  const { promise: exited, resolve } = Promise.withResolvers<undefined>();
  const worker = new Worker({
    options: { ...options, ...changed },
    createEngine: (engineOptions) => {
      const engine = new FakeEngine(engineOptions);
      engines.push(engine);
      return engine;
    },
    metricsMemory: new ArrayBuffer(seriesMemoryBytes),
    send: (message) => {
      assert.deepEqual(readMessageToMain(message), message, 'main must be able to read it');
      if (set.mainTakes) sent.push(message);
      return Promise.resolve(set.mainTakes);
    },
    exit: () => resolve(undefined),
  });
  const [engine] = engines;
  assert.ok(engine);
  const set: SetUp = { worker, engine, sent, exited, mainTakes: true };
  worker.receive({
    type: 'pod',
    pod: 1,
    namespace: 'shop',
    name: 'web',
    owner: undefined,
    identity: 'web.shop',
    opaquePorts: [],
    skippedPorts: [],
    skippedClients: [],
  });
  engine.options.onListener(1, 61000, parseAddress('10.0.0.7'), new Uint8Array(16));
  t.after(() => {
    engine.connections = 0;
    worker.drain(0);
  });
  return set;
}

const inbound: TestConnection = { pod: 1, local: ['10.0.0.7', 80], remote: ['10.0.0.9', 40000] };
const outbound: TestConnection = { pod: 1, local: ['10.0.0.8', 443], remote: ['10.0.0.7', 40001] };

const plainPeer: DestinationMessage = {
  type: 'destination',
  address: '10.0.0.8',
  port: 443,
  destination: { kind: 'external', protocol: 'opaque' },
};

test('connections are relayed with the deadlines of their direction', (t) => {
  const { worker, engine } = setUp(t);
  worker.receive(plainPeer);
  assert.deepEqual(engine.connect({ ...inbound, detected: 3 }), [1, 300, 5000, 80]);
  assert.deepEqual(engine.connect(outbound), [2, 1000, 5000, 443]);
});

test('main is asked once where a connection goes, also where its answer is that nobody knows yet', (t) => {
  const { worker, engine, sent } = setUp(t);
  const unknown = { ...plainPeer, destination: { kind: 'unknown' } } as const;
  assert.equal(engine.connect({ ...outbound, id: 1 })[0], 4);
  assert.equal(engine.connect({ ...outbound, id: 2 })[0], 4);
  worker.receive(unknown);
  worker.receive(unknown);
  assert.deepEqual(sent, [{ type: 'resolve', address: '10.0.0.8', port: 443 }]);
  worker.receive(plainPeer);
  assert.deepEqual(
    engine.resumed.map(([id, action]) => [id, action]),
    [
      [1, 2],
      [2, 2],
    ],
  );
});

test('a connection of a pod that nobody has told of is refused', (t) => {
  const { engine } = setUp(t);
  assert.equal(engine.connect({ ...inbound, pod: 2 })[0], 0);
});

test('a proof is refused, and reported while main asks for it', (t) => {
  const { worker, engine, sent } = setUp(t);
  worker.receive({ type: 'expect-proof', pod: 1 });
  assert.equal(engine.connect({ pod: 1, local: ['169.254.117.0', 9], remote: ['10.0.0.7', 40002] })[0], 0);
  assert.equal(engine.connect({ pod: 1, local: ['10.0.0.7', 61000], remote: ['10.0.0.1', 40003] })[0], 0);
  assert.deepEqual(sent, [
    { type: 'proof', pod: 1, direction: 'outbound', remotePort: 40002 },
    { type: 'proof', pod: 1, direction: 'inbound', remotePort: 40003 },
  ]);
});

function reportsIn(sent: readonly MessageToMain[]): ConnectionReport[] {
  return sent.flatMap((message) => (message.type === 'connections' ? message.connections : []));
}

test('finished connections are reported in one batch, each with what became of it', async (t) => {
  const { worker, engine, sent } = setUp(t);
  worker.receive(plainPeer);
  engine.connect({ ...inbound, detected: 3 });
  engine.connect(outbound);
  engine.end(inbound, { reason: 'finished', bytesToUpstream: 10, bytesToClient: 20, durationMs: 3 });
  engine.end(outbound, { reason: 'refused' });
  assert.deepEqual(sent, []);
  await delay(80);
  assert.equal(sent.length, 1);
  const [first, second] = reportsIn(sent);
  assert.deepEqual(first, {
    pod: 'shop/web',
    direction: 'inbound',
    client: '10.0.0.9:40000',
    destination: '10.0.0.7:80',
    peer: '',
    decision: 'relayed',
    reason: 'finished',
    errno: 0,
    bytesToUpstream: 10,
    bytesToClient: 20,
    durationMs: 3,
  });
  assert.deepEqual([second?.direction, second?.decision], ['outbound', 'refused']);
});

test('reports that main cannot take are dropped and counted, in bounded memory', async (t) => {
  const set = setUp(t);
  set.mainTakes = false;
  for (let count = 0; count < 5000; count++) {
    set.engine.connect(inbound);
    set.engine.end(inbound, { reason: 'finished' });
  }
  await delay(80);
  set.mainTakes = true;
  set.engine.connect(inbound);
  set.engine.end(inbound, { reason: 'finished' });
  await delay(80);
  const [message] = set.sent;
  assert.ok(message?.type === 'connections');
  assert.deepEqual([message.connections.length, message.dropped], [1, 5000]);
});

test('a released pod is told drained when its last connection has ended', (t) => {
  const { worker, engine, sent } = setUp(t, { logConnections: false });
  engine.connect(inbound);
  engine.options.onListenerGone(1);
  worker.receive({ type: 'pod-released', pod: 1 });
  assert.deepEqual(sent, []);
  engine.end(inbound, { reason: 'finished' });
  assert.deepEqual(sent, [{ type: 'pod-drained', pod: 1 }]);
});

test('a connection whose first bytes were there before it was shown holds its released pod, too', (t) => {
  const { worker, engine, sent } = setUp(t, { logConnections: false });
  const early = { ...inbound, detected: detections.plaintext };
  engine.connect(early);
  engine.connect({ ...inbound, id: 77, detected: 3 });
  engine.end({ ...inbound, id: 77, origin: 1, detected: 3 }, { reason: 'tunnel' });
  engine.options.onListenerGone(1);
  worker.receive({ type: 'pod-released', pod: 1 });
  const drained = (): MessageToMain[] => sent.filter(({ type }) => type === 'pod-drained');
  assert.deepEqual(drained(), []);
  engine.end(early, { reason: 'finished' });
  assert.deepEqual(drained(), [{ type: 'pod-drained', pod: 1 }]);
});

test("a released pod is not drained before the last of a tunnel's streams, nor while a connection is looked at", (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { worker, engine, sent } = setUp(t, { logConnections: false });
  const stream = { ...inbound, origin: 1, detected: 3 };
  engine.connect({ ...inbound, id: 1 });
  engine.connect({ ...inbound, id: 1, detected: 3 }); // the same, after its first bytes
  engine.end({ ...inbound, id: 1, origin: 1, detected: 3 }, { reason: 'tunnel' });
  const open = (id: number): void => {
    assert.equal(engine.connect({ ...stream, id })[0], actions.detect);
    assert.equal(engine.connect({ ...stream, id, detected: detections.plaintext })[0], actions.relayToApp);
  };
  for (const id of [2, 3]) open(id);
  engine.end({ ...stream, id: 2 }, { reason: 'finished' });
  worker.receive({ type: 'pod-released', pod: 1 });
  t.mock.timers.tick(1000);
  assert.deepEqual(sent, []);
  open(4);
  engine.end({ ...stream, id: 3 }, { reason: 'finished' });
  assert.deepEqual(sent, []);
  engine.end({ ...stream, id: 4 }, { reason: 'finished' });
  assert.deepEqual(sent, [{ type: 'pod-drained', pod: 1 }]);
});

test('a connection keeps its released pod also where its first bytes have come with it', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { worker, engine, sent } = setUp(t, { logConnections: false });
  const ofApp = { ...inbound, detected: detections.tls };
  engine.connect({ ...ofApp, id: 1 });
  engine.connect({ ...ofApp, id: 2 });
  engine.end({ ...ofApp, id: 1 }, { reason: 'finished' });
  worker.receive({ type: 'pod-released', pod: 1 });
  t.mock.timers.tick(1000);
  assert.deepEqual(sent, []);
  engine.end({ ...ofApp, id: 2 }, { reason: 'finished' });
  assert.deepEqual(sent, [{ type: 'pod-drained', pod: 1 }]);
});

test('a connection that ends while it is looked at is counted once', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { worker, engine, sent } = setUp(t, { logConnections: false });
  assert.equal(engine.connect({ ...inbound, id: 1 })[0], actions.detect);
  engine.end({ ...inbound, id: 1 }, { reason: 'reset-by-client' });
  engine.connect({ ...inbound, id: 2, detected: detections.tls });
  worker.receive({ type: 'pod-released', pod: 1 });
  t.mock.timers.tick(1000);
  assert.deepEqual(sent, []);
});

test('a connection that waits keeps its released pod, and is forgotten when it ends', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { worker, engine, sent } = setUp(t, { logConnections: false });
  assert.equal(engine.connect(outbound)[0], 4);
  worker.receive({ type: 'pod-released', pod: 1 });
  t.mock.timers.tick(1000);
  assert.deepEqual(sent, [{ type: 'resolve', address: '10.0.0.8', port: 443 }]);
  engine.end(outbound, { reason: 'connect-timeout' });
  assert.deepEqual(sent.slice(1), [{ type: 'pod-drained', pod: 1 }]);
  worker.receive(plainPeer);
  assert.deepEqual(engine.resumed, []);
});

test('a pod that leaves has a second for what is on its way, and then is drained; of one that is unknown nothing is left', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const { worker, engine, sent } = setUp(t, { logConnections: false });
  worker.receive({ type: 'pod-released', pod: 1 });
  worker.receive({ type: 'pod-released', pod: 2 });
  assert.deepEqual(engine.retired, [1, 2]);
  t.mock.timers.tick(999);
  assert.deepEqual(sent, []);
  assert.equal(engine.connect(inbound)[0], 3);
  t.mock.timers.tick(1);
  assert.deepEqual(sent, [{ type: 'pod-drained', pod: 2 }]);
  engine.end(inbound, { reason: 'finished' });
  assert.deepEqual(sent.slice(1), [{ type: 'pod-drained', pod: 1 }]);
});

test('drain: waits until peers have ended their tunnels', { timeout: 2000 }, async (t) => {
  const { worker, engine, exited } = setUp(t);
  engine.tunnels = 1;
  worker.drain(0);
  await delay(120);
  assert.equal(engine.closed, false);
  engine.tunnels = 0;
  await exited;
});

test(
  'drain: accepts for the grace period, lets connections finish, sends the last reports and exits',
  { timeout: 2000 },
  async (t) => {
    const { engine, sent, exited } = setUp(t);
    engine.connect(inbound);
    engine.options.onDrain(500);
    await delay(50);
    assert.equal(engine.accepting, true);
    await delay(600);
    assert.deepEqual([engine.accepting, engine.closed], [false, false]);
    engine.end(inbound, { reason: 'finished' });
    await exited;
    assert.equal(engine.closed, true);
    assert.equal(reportsIn(sent).length, 1);
  },
);

test(
  'SIGTERM cuts a grace period short, and the drain timeout ends what does not finish',
  { timeout: 2000 },
  async (t) => {
    const { worker, engine, exited } = setUp(t, { drainTimeoutMs: 100 });
    engine.connect(inbound);
    engine.options.onDrain(60_000);
    worker.drain(0);
    assert.equal(engine.accepting, false);
    await exited;
    assert.equal(engine.connections, 1);
  },
);

test('what main still tells a worker that is done is nothing to it', { timeout: 2000 }, async (t) => {
  const { worker, exited } = setUp(t);
  worker.drain(0);
  await exited;
  const rest = { owner: undefined, opaquePorts: [], skippedPorts: [], skippedClients: [] };
  worker.receive({ type: 'pod', pod: 2, namespace: 'shop', name: 'db', identity: 'db.shop', ...rest });
  worker.receive({ ...plainPeer, destination: { kind: 'endpoints', protocol: 'opaque', endpoints: [endpoint()] } });
});

const report = {
  pod: 'shop/web',
  direction: 'inbound',
  client: '10.0.0.1:1',
  destination: '10.0.0.7:80',
  peer: '',
  decision: 'relayed',
  reason: 'finished',
  errno: 0,
  bytesToUpstream: 1,
  bytesToClient: 2,
  durationMs: 3,
};

test('main does not believe what makes no sense', () => {
  for (const message of [
    undefined,
    null,
    'proof',
    {},
    { type: 'proof', pod: 1, direction: 'sideways', remotePort: 1 },
    { type: 'proof', pod: '1', direction: 'inbound', remotePort: 1 },
    { type: 'proof', pod: 1, direction: 'inbound', remotePort: 65536 },
    { type: 'pod-drained', pod: -1 },
    { type: 'connections', connections: {}, dropped: 0 },
    { type: 'connections', connections: [null], dropped: 0 },
    { type: 'connections', connections: [], dropped: NaN },
    { type: 'connections', connections: [{ ...report, peer: 'x'.repeat(1000) }], dropped: 0 },
    { type: 'connections', connections: Array.from({ length: 5000 }, () => report), dropped: 0 },
  ]) {
    assert.equal(readMessageToMain(message), undefined);
  }
});

test('what a worker adds to a report does not reach the log', () => {
  const message = { type: 'connections', connections: [{ ...report, level: 60, msg: 'ready' }], dropped: 0 };
  assert.deepEqual(readMessageToMain(message), { ...message, connections: [report] });
});

test('credentials that the engine cannot use are told to main, and those before them stay', (t) => {
  const { worker, engine, sent } = setUp(t);
  const identity = 'web.shop';
  const credentials = { certificates: [], privateKey: new Uint8Array(), trustAnchors: [] };
  worker.receive({ type: 'credentials', identity, ...credentials });
  engine.refusesCredentials = true;
  worker.receive({ type: 'credentials', identity, ...credentials });
  assert.deepEqual(sent, [{ type: 'credentials-refused', identity, reason: 'the trust anchors are not certificates' }]);
  assert.equal(engine.credentials.size, 1);
});
