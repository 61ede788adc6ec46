import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { TestConnection } from './test-connection.ts';
import type { TestDecision } from './test-policy.ts';
import { TestPolicy, endpoint } from './test-policy.ts';

const inbound: TestConnection = { pod: 1, local: ['10.0.0.7', 80], remote: ['10.0.0.9', 40000] };
const outbound: TestConnection = { pod: 1, local: ['10.96.0.1', 80], remote: ['10.0.0.7', 40001] };
const refused = { action: 'refuse', alert: 0 } as const;
const held = { action: 'hold' } as const;
const detect = { action: 'detect' } as const;
const toApp = { action: 'relayToApp', to: '10.0.0.7 80', appPod: 0 } as const;
const tunnelled = {
  action: 'tunnel',
  to: '10.1.0.5 8080',
  credentials: 'web.shop.mesh',
  expectedName: 'db.shop.mesh',
  workload: 1,
} as const;

const seen = { nothing: 0, plaintext: 1, timeout: 2, tls: 3, invalidTls: 4 };

test('inbound: what an app gets, and what is refused and counted', (t) => {
  const opaque = { ...toApp, to: '10.0.0.7 3306' };
  const accepted = { action: 'acceptTls', credentials: 'web.shop.mesh' } as const;
  const alerted = { action: 'refuse', alert: 112 } as const;
  const rows: [boolean, keyof typeof seen, string, number, TestDecision, string][] = [
    [false, 'nothing', '', 80, detect, ''],
    [false, 'plaintext', '', 80, toApp, 'no_identity'],
    [false, 'timeout', '', 80, toApp, 'no_identity'],
    [false, 'invalidTls', '', 80, toApp, 'no_identity'],
    [false, 'tls', 'web.shop.mesh', 80, accepted, ''],
    [false, 'tls', 'db.shop.mesh', 80, alerted, 'wrong-name'],
    [false, 'tls', 'shop.example', 80, toApp, 'opaque'],
    [false, 'tls', '', 80, toApp, 'opaque'],
    [false, 'nothing', '', 3306, opaque, 'no_identity'],
    [true, 'nothing', '', 80, detect, ''],
    [true, 'plaintext', '', 80, refused, 'downgrade'],
    [true, 'timeout', '', 80, refused, 'downgrade'],
    [true, 'invalidTls', '', 80, refused, 'downgrade'],
    [true, 'tls', 'web.shop.mesh', 80, accepted, ''],
    [true, 'tls', 'db.shop.mesh', 80, alerted, 'wrong-name'],
    [true, 'tls', 'shop.example', 80, toApp, 'opaque'],
    [true, 'nothing', '', 3306, detect, ''],
    [true, 'plaintext', '', 3306, refused, 'downgrade'],
    [true, 'timeout', '', 3306, refused, 'downgrade'],
    [true, 'tls', 'web.shop.mesh', 3306, accepted, ''],
  ];
  for (const [meshed, bytes, askedFor, port, expected, counted] of rows) {
    const node = new TestPolicy(t);
    node.setCredentials();
    node.learn('10.0.0.9', 0, endpoint({ address: '10.0.0.9', port: 0, meshed }));
    const connection = { ...inbound, local: ['10.0.0.7', port], detected: seen[bytes] } as const;
    const what = `${meshed ? 'meshed' : 'unmeshed'} source, ${bytes} ${askedFor} on ${port}`;
    assert.deepEqual(node.connect(connection, askedFor), expected, what);
    const isRefused = expected.action === 'refuse';
    assert.deepEqual(node.refused(), isRefused ? { [counted]: 1 } : {}, what);
    const isOpened = expected.action === 'relayToApp';
    assert.equal(node.count('tcp_open_total', { peer: 'src' }), isOpened ? 1 : 0, what);
    if (isOpened)
      assert.equal(node.count('tcp_open_total', { tls: counted, direction: 'inbound', peer: 'src' }), 1, what);
  }
});

test('inbound: a source nobody has told of is asked for once, and its connections wait for the answer', (t) => {
  const node = new TestPolicy(t);
  for (let id = 1; id <= 3; id++) assert.deepEqual(node.connect({ ...inbound, id, detected: seen.plaintext }), held);
  assert.deepEqual(node.asked, ['10.0.0.9 0']);
  node.learn('10.0.0.9', 0, endpoint({ address: '10.0.0.9', port: 0, meshed: false }));
  assert.deepEqual(node.resumed(), [1, 2, 3].map((id) => [id, toApp])); // prettier-ignore
  assert.equal(node.count('tcp_open_connections', { no_tls_reason: 'no_tls_from_remote' }), 3);
});

test('inbound: a meshed source that answers in plaintext is refused after the wait, too', (t) => {
  const node = new TestPolicy(t);
  node.connect({ ...inbound, detected: seen.plaintext });
  node.learn('10.0.0.9', 0, endpoint({ address: '10.0.0.9', port: 0 }));
  assert.deepEqual(node.resumed(), [[1, refused]]);
  assert.deepEqual(node.refused(), { downgrade: 1 });
});

test('inbound: a directory that does not answer keeps strangers out for a second', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const node = new TestPolicy(t);
  node.connect({ ...inbound, detected: seen.plaintext });
  t.mock.timers.tick(999);
  assert.deepEqual(node.resumed(), []);
  t.mock.timers.tick(1);
  assert.deepEqual(node.resumed(), [[1, toApp]]);
  assert.deepEqual(node.connect({ ...inbound, id: 2, detected: seen.plaintext }), toApp);
  node.learn('10.0.0.9', 0, endpoint({ address: '10.0.0.9', port: 0 }));
  assert.deepEqual(node.connect({ ...inbound, id: 3, detected: seen.plaintext }), refused, 'what it says late counts');
});

test('inbound: the deadline of an earlier question does not end a later one', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const node = new TestPolicy(t);
  node.connect({ ...inbound, detected: seen.plaintext });
  node.learnKind('10.0.0.9', 0, 'external');
  node.ways.forget('10.0.0.9', 0);
  t.mock.timers.tick(900);
  assert.deepEqual(node.connect({ ...inbound, id: 2, detected: seen.plaintext }), held);
  node.resumed();
  t.mock.timers.tick(999);
  assert.deepEqual(node.resumed(), []);
  t.mock.timers.tick(1);
  assert.deepEqual(node.resumed(), [[2, toApp]]);
});

test('a closed policy has no timer left', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const node = new TestPolicy(t);
  node.connect({ ...inbound, detected: seen.plaintext });
  node.policy.close();
  t.mock.timers.tick(10_000);
  assert.deepEqual(node.resumed(), []);
});

test('inbound: TLS for the mesh waits for the name of the pod, then for its certificate', (t) => {
  const node = new TestPolicy(t);
  const { identity, identityName } = node.pod;
  Object.assign(node.pod, { identity: 0, identityName: '' });
  const connection = { ...inbound, detected: seen.tls };
  assert.deepEqual(node.connect({ ...connection, id: 1 }, 'web.shop.mesh'), held);
  assert.deepEqual(node.connect({ ...connection, id: 2 }, 'db.shop.mesh'), held);
  assert.deepEqual(node.asked, []);
  Object.assign(node.pod, { identity, identityName });
  node.engine.askedFor = 'of a connection that came later';
  node.ways.podDescribed(node.pod.id);
  assert.deepEqual(node.resumed(), [[2, { action: 'refuse', alert: 112 }]]);
  node.setCredentials('db.shop.mesh');
  assert.deepEqual(node.resumed(), []);
  node.setCredentials();
  assert.deepEqual(node.resumed(), [[1, { action: 'acceptTls', credentials: 'web.shop.mesh' }]]);
  assert.deepEqual(node.connect({ ...connection, id: 3 }, 'web.shop.mesh'), {
    action: 'acceptTls',
    credentials: 'web.shop.mesh',
  });
});

test('credentials that are forgotten are shown to nobody', (t) => {
  const node = new TestPolicy(t);
  node.setCredentials();
  node.setCredentials('db.shop.mesh');
  node.learn('10.96.0.1', 80, endpoint());
  assert.deepEqual(node.connect({ ...outbound, id: 1 }), tunnelled);
  node.ways.forgetCredentials('web.shop.mesh');
  node.ways.forgetCredentials('of.nobody');
  assert.deepEqual([...node.engine.credentials], [node.engine.intern('db.shop.mesh')]);
  assert.deepEqual(node.connect({ ...outbound, id: 2 }), held);
  assert.deepEqual(node.connect({ ...inbound, id: 3, detected: seen.tls }, 'web.shop.mesh'), held);
  node.setCredentials();
  const accepted = { action: 'acceptTls', credentials: 'web.shop.mesh' } as const;
  assert.deepEqual(node.resumed(), [[2, tunnelled], [3, accepted]]); // prettier-ignore
});

test('outbound: where a connection goes, and how it is counted', (t) => {
  const remote = endpoint();
  const local = endpoint({ address: '10.0.0.8', localPod: 4 });
  const toLocal = { action: 'relayToApp', to: '10.0.0.8 8080', appPod: 4 } as const;
  const rows: [string, Parameters<TestPolicy['learn']>[2][], boolean, TestDecision, Record<string, string>][] = [
    ['meshed on another node', [remote], false, tunnelled, { tls: 'true', server_id: 'db.shop.mesh' }],
    ['meshed on this node', [local], false, toLocal, { no_tls_reason: 'same_node', server_id: 'db.shop.mesh' }],
    ['meshed on this node, by TLS', [local], true, { ...tunnelled, to: '10.0.0.8 8080' }, { tls: 'true' }],
    [
      'not meshed',
      [{ ...remote, meshed: false }],
      false,
      { action: 'relayOut', to: '10.1.0.5 8080' },
      { tls: 'no_identity', no_tls_reason: 'not_provided_by_service_discovery' },
    ],
    [
      'not meshed on this node',
      [{ ...local, localPod: 0, meshed: false }],
      false,
      { action: 'relayOut', to: '10.0.0.8 8080' },
      { tls: 'no_identity' },
    ],
  ];
  for (const [what, endpoints, sameNodeMtls, expected, labels] of rows) {
    const node = new TestPolicy(t, { sameNodeMtls });
    node.setCredentials();
    node.learn('10.96.0.1', 80, ...endpoints);
    assert.deepEqual(node.connectOnNode(outbound), expected, what);
    assert.equal(node.count('tcp_open_total', { direction: 'outbound', peer: 'dst', ...labels }), 1, what);
    assert.equal(node.count('tcp_open_total', { direction: 'outbound', peer: 'src' }), 1, what);
  }
});

test('outbound: what is outside is dialled as it was, what has no endpoint is refused', (t) => {
  const node = new TestPolicy(t);
  node.learnKind('10.96.0.1', 80, 'external');
  assert.deepEqual(node.connect(outbound), { action: 'relayOut', to: '10.96.0.1 80' });
  node.learn('10.96.0.1', 80);
  assert.deepEqual(node.connect({ ...outbound, id: 2 }), refused);
  assert.deepEqual(node.refused(), { 'no-endpoint': 1 });
});

test('outbound: a destination is asked for once, and its connections go on with the answer', (t) => {
  const node = new TestPolicy(t);
  node.setCredentials();
  for (let id = 1; id <= 50; id++) assert.deepEqual(node.connect({ ...outbound, id }), held);
  assert.deepEqual(node.connect({ ...outbound, id: 51, local: ['10.96.0.1', 81] }), held);
  assert.deepEqual(node.asked, ['10.96.0.1 80', '10.96.0.1 81']);
  node.learn('10.96.0.1', 80, endpoint());
  const resumed = node.resumed();
  assert.deepEqual(
    resumed.map(([id]) => id),
    Array.from({ length: 50 }, (_, index) => index + 1),
  );
  for (const [, decision] of resumed) assert.deepEqual(decision, tunnelled);
  node.learn('10.96.0.1', 80, endpoint());
  assert.deepEqual(node.resumed(), []);
});

test('outbound: an answer that does not say how to get there is not asked for again while somebody waits', (t) => {
  const node = new TestPolicy(t);
  node.setCredentials();
  node.connect({ ...outbound, id: 1 });
  node.connect({ ...outbound, id: 2 });
  node.learnKind('10.96.0.1', 80, 'unknown');
  node.learn('10.96.0.1', 80, endpoint({ meshed: undefined }));
  node.connect({ ...outbound, id: 3 });
  assert.deepEqual(node.asked, ['10.96.0.1 80']);
  assert.deepEqual(node.resumed(), []);
  node.learn('10.96.0.1', 80, endpoint());
  assert.deepEqual(node.resumed(), [1, 2, 3].map((id) => [id, tunnelled])); // prettier-ignore
});

test('outbound: a pod that nobody has described waits for its name and its certificate', (t) => {
  const node = new TestPolicy(t);
  const { identity } = node.pod;
  node.pod.identity = 0;
  node.learn('10.96.0.1', 80, endpoint());
  assert.deepEqual(node.connect(outbound), held);
  node.pod.identity = identity;
  node.ways.podDescribed(node.pod.id);
  assert.deepEqual(node.resumed(), []);
  node.setCredentials();
  assert.deepEqual(node.resumed(), [[1, tunnelled]]);
});

test('who waits too long is counted as unresolved, once, and is not resumed', (t) => {
  const node = new TestPolicy(t);
  node.connect(outbound);
  node.connect({ ...inbound, id: 2, detected: seen.plaintext });
  node.end(outbound, { reason: 'connect-timeout' });
  node.end({ ...inbound, id: 2 }, { reason: 'connect-timeout' });
  assert.equal(node.count('weft_connections_refused_total', { direction: 'outbound', reason: 'unresolved' }), 1);
  assert.equal(node.count('weft_connections_refused_total', { direction: 'inbound', reason: 'unresolved' }), 1);
  node.end(outbound, { reason: 'connect-timeout' });
  assert.deepEqual(node.refused(), { unresolved: 2 });
  node.learnKind('10.96.0.1', 80, 'external');
  assert.deepEqual(node.resumed(), []);
  node.connect({ ...outbound, id: 3, local: ['10.96.0.9', 80] });
  node.connect({ ...outbound, id: 4, local: ['10.96.0.9', 80] });
  node.end({ ...outbound, id: 3 }, { reason: 'shutdown' });
  node.end({ ...outbound, id: 4 }, { reason: 'shutdown' });
  node.connect({ ...outbound, id: 5, local: ['10.96.0.9', 80] });
  assert.deepEqual(
    node.asked.slice(-2),
    ['10.96.0.9 80', '10.96.0.9 80'],
    'nobody waited any more, so it is asked anew',
  );
});

test('what ends before it could be resumed was opened and has ended', (t) => {
  const node = new TestPolicy(t);
  node.connect(outbound);
  t.mock.method(node.engine, 'resume', () => false);
  node.learnKind('10.96.0.1', 80, 'external');
  assert.deepEqual([node.count('tcp_open_total', { peer: 'src' }), node.count('tcp_open_connections')], [1, 0]);
  assert.equal(node.count('tcp_close_total', { errno: 'ECONNRESET', peer: 'src' }), 1);
});

test('a server of this node that the network shuts off is refused, one that nobody has told of is waited for', (t) => {
  const node = new TestPolicy(t);
  node.setCredentials();
  const local = endpoint({ address: '10.0.0.8', localPod: 4 });
  node.learn('10.96.0.1', 80, local);
  assert.deepEqual(node.connect(outbound), held);
  node.answerProbes('failed');
  assert.deepEqual(node.resumed(), [[1, refused]]);
  assert.deepEqual(node.refused(), { 'network-policy': 1 });
  node.learn('10.96.0.1', 80, { ...local, localPod: 5 });
  assert.deepEqual(node.connect({ ...outbound, id: 2 }), held, 'nobody has told of that pod');
});

test('of a flood that waits, what is more than 4,096 is refused', (t) => {
  const node = new TestPolicy(t);
  const dial = (id: number): TestDecision =>
    node.connect({ ...outbound, id, local: [`10.96.${id >> 8}.${id & 255}`, 80] });
  for (let id = 1; id <= 4096; id++) assert.deepEqual(dial(id), held);
  for (let id = 4097; id <= 5000; id++) assert.deepEqual(dial(id), refused);
  assert.deepEqual(node.refused(), { 'not-waited-for': 904 });
  assert.equal(node.asked.length, 4096);
  node.learnKind('10.96.0.1', 80, 'external');
  assert.deepEqual(node.resumed(), [[1, { action: 'relayOut', to: '10.96.0.1 80' }]]);
  assert.deepEqual(dial(5001), held);
});

test("a peer's stream reaches the app, unless its claims are false", (t) => {
  const stream = { ...inbound, origin: 1, detected: seen.tls };
  const rows: [TestConnection, TestDecision, string][] = [
    [stream, toApp, ''],
    [{ ...stream, local: ['10.0.0.8', 80] }, refused, 'destination'],
    [{ ...stream, peer: '10.0.0.10' }, refused, 'client-address'],
    [{ ...stream, remote: ['127.0.0.1', 40000] }, refused, 'loopback'],
    [{ ...stream, remote: ['10.0.0.7', 40000] }, refused, 'own-address'],
    [{ ...stream, remote: ['169.254.116.1', 40000] }, refused, 'guard'],
    [{ ...stream, local: ['10.0.0.7', 61000] }, refused, 'guard'],
  ];
  for (const [connection, expected, reason] of rows) {
    const node = new TestPolicy(t);
    assert.deepEqual(node.connectBytes(connection), expected, reason);
    assert.deepEqual(node.refused(), reason === '' ? {} : { [reason]: 1 });
    assert.equal(node.count('tcp_open_total', { direction: 'inbound', tls: 'true' }), reason === '' ? 1 : 0);
    assert.deepEqual(node.proofs, []);
  }
});

test("a peer's own mutual TLS reaches the app, guarded as all the rest", (t) => {
  const node = new TestPolicy(t);
  const connection = { ...inbound, origin: 2, detected: seen.tls };
  assert.deepEqual(node.connectBytes(connection), toApp);
  assert.equal(node.count('tcp_open_total', { direction: 'inbound', tls: 'true' }), 1);
  assert.deepEqual(node.connect({ ...connection, id: 2, remote: ['169.254.116.1', 40000] }), refused);
  assert.deepEqual(node.refused(), { guard: 1 });
});

test('a proof is told and not counted', (t) => {
  const node = new TestPolicy(t);
  assert.deepEqual(node.connect({ ...inbound, local: ['10.0.0.7', 61000] }), refused);
  assert.deepEqual(node.refused(), {});
});

const meshedState = fc.constantFrom(true, false, undefined);
const endpointKind = fc.record({ meshed: meshedState, localPod: fc.constantFrom(0, 4) });

test('no meshed endpoint is ever dialled in plaintext, nor one of which nobody knows', () => {
  const kinds = fc.array(endpointKind, { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(kinds, fc.boolean(), fc.boolean(), fc.boolean(), (all, sameNodeMtls, hasCredentials, waits) => {
      const node = new TestPolicy(undefined, { sameNodeMtls });
      if (hasCredentials) node.setCredentials();
      const endpoints = all.map((kind, index) => endpoint({ ...kind, address: `10.1.0.${index}`, uid: `${index}` }));
      if (waits) node.connect(outbound);
      node.learn('10.96.0.1', 80, ...endpoints);
      const decision = waits ? node.passProbes() : node.connectOnNode(outbound);
      if (decision.action === 'hold') {
        assert.ok(all.some(({ meshed }) => meshed === undefined || (meshed && !hasCredentials)));
        return;
      }
      assert.ok('to' in decision);
      const chosen = endpoints.find(({ address, port }) => decision.to === `${address} ${port}`);
      assert.ok(chosen);
      if (decision.action === 'relayOut') assert.equal(chosen.meshed, false);
      else assert.equal(chosen.meshed, true);
      if (decision.action === 'relayToApp')
        assert.deepEqual([sameNodeMtls, decision.appPod, chosen.localPod], [false, 4, 4]);
      if (decision.action === 'tunnel') assert.ok(hasCredentials && (chosen.localPod === 0 || sameNodeMtls));
    }),
  );
});

type Step =
  | { readonly kind: 'in'; readonly source: number; readonly detected: number; readonly port: number }
  | { readonly kind: 'out'; readonly destination: number }
  | {
      readonly kind: 'tell';
      readonly address: string;
      readonly port: number;
      readonly meshed: (boolean | undefined)[];
      readonly localPod: number;
    }
  | { readonly kind: 'tell-kind'; readonly destination: number; readonly outside: boolean }
  | { readonly kind: 'forget'; readonly destination: number }
  | { readonly kind: 'credentials' }
  | { readonly kind: 'no-credentials' }
  | { readonly kind: 'end'; readonly which: number }
  | { readonly kind: 'probed'; readonly passed: boolean }
  | { readonly kind: 'tick'; readonly ms: number };

const last = fc.nat(3);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('in'), source: last, detected: fc.nat(4), port: fc.constantFrom(80, 3306) }),
  fc.record({ kind: fc.constant('out'), destination: last }),
  fc.record({
    kind: fc.constant('tell'),
    address: last.map((one) => `10.96.0.${one}`),
    port: fc.constant(80),
    meshed: fc.array(meshedState, { maxLength: 3 }),
    localPod: fc.constantFrom(0, 4),
  }),
  fc.record({
    kind: fc.constant('tell'),
    address: last.map((one) => `10.0.1.${one}`),
    port: fc.constant(0),
    meshed: fc.array(meshedState, { minLength: 1, maxLength: 1 }),
    localPod: fc.constant(0),
  }),
  fc.record({ kind: fc.constant('tell-kind'), destination: last, outside: fc.boolean() }),
  fc.record({ kind: fc.constant('forget'), destination: last }),
  fc.constantFrom({ kind: 'credentials' } as const, { kind: 'no-credentials' } as const),
  fc.record({ kind: fc.constant('end'), which: fc.nat() }),
  fc.record({ kind: fc.constant('probed'), passed: fc.boolean() }),
  fc.record({ kind: fc.constant('tick'), ms: fc.constantFrom(1, 500, 1000) }),
);

test('whatever happens, each connection is decided once and each that was opened is closed once', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const node = new TestPolicy(undefined);
      const alive = new Map<number, { readonly connection: TestConnection; action: string }>();
      const outcomes = { opened: 0, unresolved: 0 };
      const decided = (id: number, action: string): void => {
        const one = alive.get(id);
        assert.ok(one, 'only what is there is decided on');
        one.action = action;
        if (['relayOut', 'relayToApp', 'tunnel'].includes(action)) outcomes.opened++;
      };
      const end = (id: number): void => {
        const one = alive.get(id);
        assert.ok(one);
        if (one.action === 'hold') outcomes.unresolved++;
        alive.delete(id);
        node.end(one.connection, { reason: one.action === 'refuse' ? 'refused' : 'finished', bytesToUpstream: 1 });
      };
      const connect = (connection: TestConnection): void => {
        const id = connection.id ?? 0;
        alive.set(id, { connection, action: '' });
        decided(id, node.connect(connection, 'web.shop.mesh').action);
      };
      for (const [index, one] of steps.entries()) {
        const id = index + 1;
        if (one.kind === 'in') {
          const { source, detected, port } = one;
          connect({ ...inbound, id, detected, local: ['10.0.0.7', port], remote: [`10.0.1.${source}`, 40000] });
        } else if (one.kind === 'out') connect({ ...outbound, id, local: [`10.96.0.${one.destination}`, 80] });
        else if (one.kind === 'tell')
          node.learn(
            one.address,
            one.port,
            ...one.meshed.map((meshed) => endpoint({ meshed, localPod: one.localPod })),
          );
        else if (one.kind === 'tell-kind')
          node.learnKind(`10.96.0.${one.destination}`, 80, one.outside ? 'external' : 'unknown');
        else if (one.kind === 'forget') node.ways.forget(`10.96.0.${one.destination}`, 80);
        else if (one.kind === 'credentials') node.setCredentials();
        else if (one.kind === 'no-credentials') node.ways.forgetCredentials('web.shop.mesh');
        else if (one.kind === 'probed') node.answerProbes(one.passed ? 'passed' : 'failed');
        else if (one.kind === 'tick') t.mock.timers.tick(one.ms);
        else if (alive.size > 0) end([...alive.keys()][one.which % alive.size] ?? 0);
        for (const [resumed, decision] of node.resumed()) {
          assert.equal(alive.get(resumed)?.action, 'hold', 'only what is held is resumed');
          decided(resumed, decision.action);
        }
        const open = [...alive.values()].filter(({ action }) => /relay|tunnel/.test(action)).length;
        assert.equal(node.count('tcp_open_connections', { peer: 'src' }), open);
      }
      for (const id of [...alive.keys()]) end(id);
      assert.equal(node.count('tcp_open_connections', { peer: 'src' }), 0);
      assert.equal(node.count('tcp_open_total', { peer: 'src' }), outcomes.opened);
      assert.equal(node.count('tcp_close_total', { peer: 'src' }), outcomes.opened);
      assert.equal(node.count('tcp_read_bytes_total', { peer: 'src' }), outcomes.opened);
      assert.equal(node.refused()['unresolved'] ?? 0, outcomes.unresolved);
      node.policy.close();
    }),
    { numRuns: 100 },
  );
});
