import assert from 'node:assert/strict';
import { test } from 'node:test';

import { detections } from '../inbound.ts';
import type { TestConnection } from '../test-connection.ts';
import { TestPolicy, endpoint, testOptions } from '../test-policy.ts';
import type { RequestContext } from './request-context.ts';
import type { RequestPolicy } from './request-policies.ts';
import type { Upstream } from './upstreams.ts';
import { TestHttpConnection } from './test-request.ts';

const outbound: TestConnection = {
  pod: 1,
  local: ['10.96.0.1', 80],
  remote: ['10.0.0.7', 40000],
  detected: detections.http1,
};
const inbound: TestConnection = {
  pod: 1,
  local: ['10.0.0.7', 80],
  remote: ['10.1.0.9', 40000],
  detected: detections.http1,
};

const timedOut = { status: 504, grpcStatus: 4 };
const failFast = { status: 504, grpcStatus: 14 };
const closing = { connection: 'close', 'l5d-proxy-connection': 'close' };
const { inboundConnectTimeoutMs, outboundConnectTimeoutMs, peerConnectTimeoutMs } = testOptions;

/** A node whose pod may talk to others, and whose service is as declared. */
function newNode(t: ConstructorParameters<typeof TestPolicy>[0], ...more: [object?, object?]): TestPolicy {
  const node = new TestPolicy(t, ...more);
  node.setCredentials();
  return node;
}

function client(node: TestPolicy, connection: TestConnection = outbound): TestHttpConnection {
  return new TestHttpConnection(node, connection);
}

test('outbound: each request is given one of the endpoints, by mutual TLS', (t) => {
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint(), endpoint({ address: '10.1.0.6', uid: 'db-2' }));
  const connection = client(node);
  const seen = new Set<string>();
  for (let exchange = 1; exchange <= 100; exchange++) {
    const decision = connection.request({ exchange });
    assert.ok(decision.action === 'forward');
    assert.deepEqual(
      [decision.via, decision.client, decision.connectTimeoutMs],
      ['tunnel', undefined, peerConnectTimeoutMs],
    );
    seen.add(decision.to);
    connection.end({ ending: 'complete', status: 200 }, { exchange });
  }
  assert.deepEqual([...seen].sort(), ['10.1.0.5 8080', '10.1.0.6 8080']);
});

test('outbound: with session affinity all requests of a pod are given the same endpoint, which its connections of bytes have too', (t) => {
  const node = newNode(t);
  const endpoints = [5, 6, 7, 8].map((last) => endpoint({ address: `10.1.0.${last}`, uid: `db-${last}` }));
  node.learnSticky('http1', '10.96.0.1', 80, ...endpoints);
  node.learnSticky('opaque', '10.96.0.1', 81, ...endpoints);
  const seen = new Set<string>();
  for (let id = 1; id <= 20; id++) {
    const remote = ['10.0.0.7', 40000 + id] as const;
    const connection = client(node, { ...outbound, id, remote });
    const decision = connection.request({ exchange: id });
    assert.ok(decision.action === 'forward');
    const bytes = node.connect({ ...outbound, id: 100 + id, local: ['10.96.0.1', 81], remote });
    assert.ok(bytes.action === 'tunnel');
    seen.add(decision.to).add(bytes.to);
  }
  assert.equal(seen.size, 1);
});

test('outbound: later news count for the next request of an open connection', (t) => {
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  const to = (): unknown => {
    const decision = connection.request();
    return 'to' in decision ? decision.to : decision;
  };
  assert.equal(to(), '10.1.0.5 8080');
  connection.end({ ending: 'complete', status: 200 });
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint({ address: '10.1.0.8' }));
  assert.equal(to(), '10.1.0.8 8080');
});

test('outbound: what is outside is dialled as it was, an endpoint that is not meshed in plaintext', (t) => {
  const node = newNode(t);
  const plain = { action: 'forward', via: 'relayOut', appPod: 0, client: undefined } as const;
  const connectTimeoutMs = outboundConnectTimeoutMs;
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint({ meshed: false }));
  assert.deepEqual(client(node).request(), { ...plain, to: '10.1.0.5 8080', connectTimeoutMs });
  node.ways.learn({
    type: 'destination',
    address: '203.0.113.9',
    port: 80,
    destination: { kind: 'external', protocol: 'detect' },
  });
  const outside = client(node, { ...outbound, id: 2, local: ['203.0.113.9', 80] });
  assert.deepEqual(outside.request(), { ...plain, to: '203.0.113.9 80', connectTimeoutMs });
});

test('outbound: a service without endpoints answers as in fail-fast', (t) => {
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80);
  assert.deepEqual(client(node).request(), {
    action: 'respond',
    ...failFast,
    headers: { 'l5d-proxy-error': 'logical service 10.96.0.1:80: service in fail-fast', ...closing },
  });
});

test('outbound: a request waits for credentials and for what main forgot, and is given up after a while', (t) => {
  const node = new TestPolicy(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  assert.deepEqual(connection.request({ exchange: 5 }), { action: 'hold' });
  assert.deepEqual(connection.request({ exchange: 6 }), { action: 'hold' });
  node.setCredentials();
  assert.deepEqual(node.engine.resumedRequests, [5, 6]);
  assert.equal(connection.resumed(6).action, 'forward');
  for (const exchange of [5, 6]) connection.end({ ending: 'complete', status: 200 }, { exchange });

  node.ways.forget('10.96.0.1', 80);
  node.asked.length = 0;
  for (const exchange of [7, 8]) assert.deepEqual(connection.request({ exchange }), { action: 'hold' });
  assert.deepEqual(node.asked, ['10.96.0.1 80']);
  const given = connection.fail({ ending: 'hold-timeout' }, { exchange: 7 });
  assert.ok(given.action === 'respond' && given.status === 504);
  connection.end({ ending: 'client-reset' }, { exchange: 8 });
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  assert.deepEqual(node.engine.resumedRequests, [5, 6], 'nobody waits any more');
});

test('outbound: no more than may wait do', (t) => {
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  node.ways.forget('10.96.0.1', 80);
  for (let exchange = 1; exchange <= 4096; exchange++) assert.equal(connection.request({ exchange }).action, 'hold');
  const refused = connection.request({ exchange: 5000 });
  assert.ok(refused.action === 'respond' && refused.status === 503);
});

test('outbound: to a pod of this node requests go straight, while the network lets them, and its app is told who comes', (t) => {
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint({ address: '10.0.0.8', localPod: 4 }));
  const connection = client(node);
  assert.deepEqual(connection.request(), { action: 'hold' });
  node.answerProbes('passed');
  assert.deepEqual(node.engine.resumedRequests, [1]);
  const fused = {
    action: 'forward',
    via: 'relayToApp',
    to: '10.0.0.8 8080',
    appPod: 4,
    client: 'web.shop.mesh',
    connectTimeoutMs: inboundConnectTimeoutMs,
  };
  assert.deepEqual(connection.resumed(), fused);
  assert.deepEqual(connection.request({ exchange: 2 }), fused);
});

test('outbound: requests on a path of this node end when the network shuts it, later ones are told', (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const now = t.mock.method(performance, 'now', () => 0);
  const pass = (milliseconds: number): void => {
    const before = performance.now();
    now.mock.mockImplementation(() => before + milliseconds);
    t.mock.timers.tick(250);
  };
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint({ address: '10.0.0.8', localPod: 4 }));
  const connection = client(node);
  connection.request();
  node.answerProbes('passed');
  connection.resumed();
  connection.request({ exchange: 2 });
  connection.end({ ending: 'complete', status: 200 }, { exchange: 2 });
  const upstream = connection.upstreamOf(1);
  assert.notEqual(upstream, 0);

  pass(20_001); // the request is under way still, so the path is probed again
  assert.equal(node.engine.probes.size, 1);
  node.answerProbes('failed');
  assert.deepEqual(node.engine.revokedUpstreams, [upstream]);
  const told = connection.fail({ ending: 'revoked' });
  assert.ok(told.action === 'respond' && told.status === 504);
  connection.end({ ending: 'revoked', status: 504 });
  const next = connection.request({ exchange: 3 });
  assert.ok(next.action === 'respond');
  assert.deepEqual({ status: next.status, grpcStatus: next.grpcStatus }, timedOut);
});

test('inbound: requests reach the app, and it is told who comes by mutual TLS', (t) => {
  const node = newNode(t);
  const peer = node.engine.intern('db.shop.mesh');
  for (const origin of [1, 2]) {
    const connection = client(node, { ...inbound, id: origin, origin, peerName: peer });
    assert.deepEqual(connection.request(), {
      action: 'forward',
      via: 'relayToApp',
      to: '10.0.0.7 80',
      appPod: 0,
      client: 'db.shop.mesh',
      connectTimeoutMs: inboundConnectTimeoutMs,
    });
    assert.equal(connection.upstreamOf(), 0);
  }
});

test('inbound: from outside of the mesh nobody is believed who they say they are, and nobody is told what is wrong', (t) => {
  const node = newNode(t);
  node.learnKind('10.1.0.9', 0, 'unknown');
  const connection = client(node, inbound);
  const decision = connection.request();
  assert.ok(decision.action === 'forward' && decision.client === undefined);
  const edits = node.engine.headerEdits.get(new DataView(node.requestRecord.buffer).getUint32(112, true));
  assert.ok(edits?.remove?.includes('l5d-client-id'));
  assert.deepEqual(connection.fail({ ending: 'connect-failed', detail: 111 }), {
    action: 'respond',
    status: 502,
    grpcStatus: 14,
    headers: closing,
  });
});

test('a failure is told with its place and cause', (t) => {
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  connection.request();
  assert.deepEqual(connection.fail({ ending: 'connect-failed', detail: 111 }), {
    action: 'respond',
    status: 502,
    grpcStatus: 14,
    headers: {
      'l5d-proxy-error': 'logical service 10.96.0.1:80: endpoint 10.1.0.5:8080: connection failed: ECONNREFUSED',
      ...closing,
    },
  });
  const mesh = client(node, { ...inbound, id: 2, origin: 1, peerName: node.engine.intern('db.shop.mesh') });
  mesh.request();
  const told = mesh.fail({ ending: 'connect-timeout' });
  assert.ok(told.action === 'respond');
  assert.equal(told.headers['l5d-proxy-error'], 'server: 10.0.0.7:80: connection timed out');
});

test('a request that cannot be read is answered, and not counted', (t) => {
  const counted: string[] = [];
  const metrics = {
    requested: () => counted.push('requested'),
    forwarded: () => counted.push('forwarded'),
    responded: () => counted.push('responded'),
  };
  const node = newNode(t, {}, { metrics });
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  const unreadable = { version: 0, method: '' } as const;
  const answer = connection.fail({ ending: 'invalid-request', detail: 1 }, unreadable);
  assert.ok(answer.action === 'respond');
  assert.deepEqual(
    [answer.status, answer.headers['l5d-proxy-error']],
    [400, 'logical service 10.96.0.1:80: invalid request: bare_cr'],
  );
  connection.end({ ending: 'invalid-request', status: 400 }, unreadable);
  assert.deepEqual(counted, []);
});

test('what has no context is reset', (t) => {
  const node = newNode(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  for (const context of [0, 7]) {
    assert.deepEqual(connection.request({ context }), { action: 'reset' });
    assert.deepEqual(connection.fail({ ending: 'invalid-request' }, { context }), { action: 'reset' });
    connection.end({ ending: 'reset' }, { context });
  }
});

test('each request is counted once at its begin and once at its end, with where it went', (t) => {
  const requested: RequestContext[] = [];
  const responded: [RequestContext, Upstream | undefined][] = [];
  const metrics = {
    requested: (context: RequestContext) => requested.push(context),
    forwarded: () => undefined,
    responded: (context: RequestContext, _record: unknown, upstream: Upstream | undefined) =>
      responded.push([context, upstream]),
  };
  const node = newNode(t, {}, { metrics });
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  connection.request({ exchange: 1 });
  connection.request({ exchange: 2 });
  connection.end({ ending: 'complete', status: 200 }, { exchange: 2 });
  connection.fail({ ending: 'upstream-reset' }, { exchange: 1 });
  connection.end({ ending: 'upstream-reset', status: 502 }, { exchange: 1 });
  assert.equal(requested.length, 2);
  assert.deepEqual(
    responded.map(([context, upstream]) => [context === requested[0], upstream?.protection, upstream?.endpoint.port]),
    [
      [true, 'mutualTls', 8080],
      [true, 'mutualTls', 8080],
    ],
  );
  assert.equal(responded[0]?.[1]?.requests, 0, 'nothing is under way any more');
});

test('a request that ended while it waited leaves nothing behind', (t) => {
  const node = new TestPolicy(t);
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  connection.request({ exchange: 5 });
  node.engine.endedRequests.add(5);
  node.setCredentials();
  connection.resumed(5);
  const late = connection.upstreamOf(5);
  connection.request({ exchange: 6 });
  assert.equal(connection.upstreamOf(6), late, 'its number is free again');
});

test('a policy answers, changes what is planned, or leaves the request to the next', (t) => {
  const node: TestPolicy = newNode(t, {}, { policies: [] });
  const notFound = { number: node.engine.defineResponse({ status: 404, headers: {} }) };
  const denyAdmin: RequestPolicy = (request) => (request.path.startsWith('/admin') ? notFound : undefined);
  const hurry: RequestPolicy = (request, plan) => {
    if (request.method === 'GET' && request.header('x-hurry') !== undefined)
      plan.deadlines = { ...plan.deadlines, requestTimeoutMs: 250 };
    return undefined;
  };
  const seen: unknown[] = [];
  const look: RequestPolicy = ({ context, authority, isGrpc }) => {
    seen.push([context.direction, context.pod.name, authority, isGrpc]);
    return undefined;
  };
  const decided = newNode(t, {}, { policies: [denyAdmin, hurry, look] });
  decided.engine.responses.set(notFound.number, { status: 404, headers: {} });
  decided.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(decided);
  const requestTimeout = (): number => new DataView(decided.requestRecord.buffer).getUint32(104, true);

  decided.engine.request = { path: '/admin/x' };
  assert.equal(connection.request().action, 'respond');
  assert.deepEqual(seen, []);
  decided.engine.request = { path: '/', authority: 'db.shop', headers: { 'x-hurry': '1' } };
  assert.equal(connection.request({ exchange: 2 }).action, 'forward');
  assert.equal(requestTimeout(), 250);
  decided.engine.request = { path: '/', authority: 'db.shop' };
  connection.request({ exchange: 3, grpc: true });
  assert.equal(requestTimeout(), 0, 'a plan is of one request');
  assert.deepEqual(seen, [
    ['outbound', 'web', 'db.shop', false],
    ['outbound', 'web', 'db.shop', true],
  ]);
});

test('what a policy has planned counts also where the request had to wait', (t) => {
  const slow: RequestPolicy = (request, plan) => {
    if (request.path === '/slow') plan.deadlines = { ...plan.deadlines, requestTimeoutMs: 9 };
    return undefined;
  };
  const node = new TestPolicy(t, {}, { policies: [slow] });
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  const connection = client(node);
  node.engine.request = { path: '/slow' };
  assert.deepEqual(connection.request({ exchange: 1 }), { action: 'hold' });
  node.engine.request = { path: '/' };
  assert.deepEqual(connection.request({ exchange: 2 }), { action: 'hold' });
  assert.deepEqual(connection.request({ exchange: 3, version: 20 }), { action: 'hold' });
  const resumed: (readonly [timeoutMs: number, protocol: number])[] = [];
  t.mock.method(node.engine, 'resumeRequest', () => {
    const written = new DataView(node.requestRecord.buffer);
    resumed.push([written.getUint32(104, true), written.getUint32(92, true)]);
    return true;
  });
  node.setCredentials();
  assert.deepEqual(resumed, [
    [9, 0],
    [0, 0],
    [0, 11],
  ]);
});

test('what is declared to be HTTP/1 hears nothing else, save gRPC; a policy may say otherwise', (t) => {
  const policy: RequestPolicy = (request, plan) => {
    if (request.path === '/converted') plan.upstreamProtocol = 'http2';
    return undefined;
  };
  const node = newNode(t, {}, { policies: [policy] });
  const spoken = (): number | undefined => new Uint32Array(node.requestRecord.buffer)[23];
  node.learnProtocol('http1', '10.96.0.1', 80, endpoint());
  node.learnProtocol('detect', '10.96.0.2', 80, endpoint());
  node.learnKind('10.1.0.9', 0, 'external');
  const [declared, detected] = [client(node), client(node, { ...outbound, local: ['10.96.0.2', 80] })];
  for (const [connection, request, expected] of [
    [declared, { version: 20 }, 11],
    [declared, { version: 20, grpc: true }, 0],
    [declared, { version: 11 }, 0],
    [detected, { version: 20 }, 0],
    [client(node, inbound), { version: 20 }, 0],
  ] as const) {
    assert.equal(connection.request(request).action, 'forward');
    assert.equal(spoken(), expected, JSON.stringify(request));
    connection.end({ ending: 'complete', status: 200 });
  }
  node.engine.request = { path: '/converted' };
  declared.request({ version: 11 });
  assert.equal(spoken(), 20);
});

test('a connection that ends gives back its number and its name', (t) => {
  const node = newNode(t);
  const peer = node.engine.intern('db.shop.mesh');
  const first = client(node, { ...inbound, id: 1, origin: 1, peerName: peer });
  first.request();
  const before = node.engine.headerEdits.size;
  first.close();
  const second = client(node, { ...inbound, id: 2, origin: 1, peerName: peer });
  assert.equal(second.context, first.context);
  second.request();
  assert.equal(node.engine.headerEdits.size, before, 'a name is defined once');
});
