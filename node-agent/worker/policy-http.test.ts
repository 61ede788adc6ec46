import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import type { Protocol } from '../../mesh/protocol.ts';
import { detections } from './inbound.ts';
import type { TestConnection } from './test-connection.ts';
import type { TestDecision } from './test-policy.ts';
import { TestPolicy, endpoint } from './test-policy.ts';

const outbound: TestConnection = { pod: 1, local: ['10.96.0.1', 80], remote: ['10.0.0.7', 40000] };
const inbound: TestConnection = { pod: 1, local: ['10.0.0.7', 80], remote: ['10.1.0.9', 40000] };
type Seen = keyof typeof detections;

/** What is decided on a connection to a service of the protocol, with the first bytes that are seen. */
function decided(t: TestContext, protocol: Protocol, seen: Seen, connection = outbound): TestDecision['action'] {
  const node = new TestPolicy(t);
  node.setCredentials();
  node.learnProtocol(protocol, '10.96.0.1', 80, endpoint());
  node.learnKind('10.1.0.9', 0, 'unknown');
  return node.connect({ ...connection, detected: detections[seen] }).action;
}

test('outbound: HTTP is decided on by request, what is opaque or anything else goes on as bytes', (t) => {
  const cases: [Protocol, Seen, TestDecision['action']][] = [
    ['opaque', 'nothing', 'tunnel'],
    ['detect', 'nothing', 'detect'],
    ['detect', 'http1', 'http'],
    ['detect', 'http2', 'http'],
    ['detect', 'plaintext', 'tunnel'],
    ['detect', 'tls', 'tunnel'],
    ['detect', 'timeout', 'tunnel'],
    ['http1', 'nothing', 'detect'],
    ['http1', 'timeout', 'http'],
    ['http1', 'plaintext', 'tunnel'],
    ['http2', 'http1', 'http'],
  ];
  for (const [protocol, seen, expected] of cases)
    assert.equal(decided(t, protocol, seen), expected, `${protocol} ${seen}`);
});

test('outbound: nothing is looked at before it is known where it goes, so that a server may speak first', (t) => {
  const node = new TestPolicy(t);
  node.setCredentials();
  assert.equal(node.connect(outbound).action, 'hold');
  node.learnProtocol('opaque', '10.96.0.1', 80, endpoint());
  assert.deepEqual(
    node.resumed().map(([id, { action }]) => [id, action]),
    [[1, 'tunnel']],
  );
  assert.equal(node.connect({ ...outbound, id: 2, local: ['10.96.0.2', 80] }).action, 'hold');
  node.learnProtocol('detect', '10.96.0.2', 80, endpoint());
  assert.deepEqual(
    node.resumed().map(([id, { action }]) => [id, action]),
    [[2, 'detect']],
  );
});

test('outbound: a service without endpoints answers HTTP, and refuses all else', (t) => {
  for (const [seen, expected] of [
    ['http1', 'http'],
    ['plaintext', 'refuse'],
  ] as const) {
    const node = new TestPolicy(t);
    node.learnProtocol('detect', '10.96.0.1', 80);
    assert.equal(node.connect(outbound).action, 'detect');
    assert.equal(node.connect({ ...outbound, detected: detections[seen] }).action, expected);
  }
});

test('inbound: HTTP of clients from outside, of peers and of agents is decided on by request', (t) => {
  for (const origin of [0, 1, 2]) {
    const connection = { ...inbound, origin };
    assert.equal(decided(t, 'detect', 'nothing', connection), 'detect');
    assert.equal(decided(t, 'detect', 'http1', connection), 'http');
    assert.equal(decided(t, 'detect', 'http2', connection), 'http');
    for (const seen of ['plaintext', 'timeout'] as const)
      assert.equal(decided(t, 'detect', seen, connection), 'relayToApp', `${origin} ${seen}`);
    assert.equal(decided(t, 'detect', 'nothing', { ...connection, local: ['10.0.0.7', 3306] }), 'relayToApp');
    assert.equal(decided(t, 'detect', 'http1', { ...connection, local: ['10.0.0.7', 3306] }), 'relayToApp');
  }
  for (const origin of [1, 2])
    assert.equal(decided(t, 'detect', 'tls', { ...inbound, origin }), 'detect', 'what is inside is not known yet');
});

test('inbound: a stream is carried as its peer says, and nothing is waited for', (t) => {
  const stream = { ...inbound, origin: 1, detected: detections.tls };
  const cases = [
    ['nothing', 'detect', 'relayToApp'],
    ['plaintext', 'relayToApp', 'relayToApp'],
    ['http1', 'http', 'relayToApp'],
    ['http2', 'http', 'relayToApp'],
  ] as const;
  for (const [claim, action, opaque] of cases) {
    const claimed = detections[claim];
    const node = new TestPolicy(t);
    assert.equal(node.connect({ ...stream, claimed }).action, action, claim);
    assert.equal(node.connect({ ...stream, claimed, local: ['10.0.0.7', 3306] }).action, opaque, claim);
  }
  const seen = { ...stream, detected: detections.http1, claimed: detections.nothing };
  assert.equal(new TestPolicy(t).connect(seen).action, 'http');
});

test('inbound: what may not pass may not pass as HTTP either', (t) => {
  const meshed = new TestPolicy(t);
  meshed.learn('10.1.0.9', 0, endpoint({ address: '10.1.0.9', port: 0 }));
  assert.equal(meshed.connect({ ...inbound, detected: detections.http1 }).action, 'refuse');
  assert.deepEqual(meshed.refused(), { downgrade: 1 });
  const astray = new TestPolicy(t);
  const stream = { ...inbound, origin: 1, detected: detections.http1, peer: '10.0.0.10' };
  assert.equal(astray.connect(stream).action, 'refuse');
  assert.deepEqual(astray.refused(), { 'client-address': 1 });
});

test("connections of HTTP are counted as the client's", (t) => {
  const node = new TestPolicy(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const own = { ...outbound, detected: detections.http1 };
  node.connect(own);
  assert.equal(
    node.count('tcp_open_connections', { direction: 'outbound', peer: 'src', no_tls_reason: 'loopback' }),
    1,
  );
  node.end(own, { reason: 'finished' });
  assert.equal(node.count('tcp_open_connections', { direction: 'outbound', peer: 'src' }), 0);
});
