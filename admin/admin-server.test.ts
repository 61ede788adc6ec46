import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingHttpHeaders } from 'node:http';
import { request } from 'node:http';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn, setTimeout } from 'node:timers/promises';
import { gunzipSync } from 'node:zlib';

import { Counter } from 'prom-client';

import type { Expositions } from './exposition.ts';
import { createExpositions } from './exposition.ts';
import { parseExposition } from './test-exposition.ts';
import type { AnyRegistry } from './registries.ts';
import { createRegistries } from './registries.ts';
import type { AdminServerOptions } from './admin-server.ts';
import { AdminServer, codesIn, isLoopback } from './admin-server.ts';

function count(registry: AnyRegistry): void {
  new Counter({ name: 'tcp_open_total', help: 'h', labelNames: ['pod'], registers: [registry] }).inc({ pod: 'web' }, 7);
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface SetUp {
  readonly port: number;
  readonly server: AdminServer;
  readonly errors: unknown[];
  reasons: readonly string[];
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Answer>;
}

async function setUp(t: TestContext, changed: Partial<AdminServerOptions> = {}): Promise<SetUp> {
  const errors: unknown[] = [];
  const server = new AdminServer({
    metrics: createExpositions(createRegistries(count)),
    reasonsNotReady: () => set.reasons,
    onError: (error) => errors.push(error),
    ...changed,
  });
  const port = await server.listen('127.0.0.1', 0);
  t.after(() => server.close());
  const set: SetUp = {
    port,
    server,
    errors,
    reasons: [],
    get: (path, headers = {}, method = 'GET') => ask(port, path, headers, method),
  };
  return set;
}

async function ask(port: number, path: string, headers: Record<string, string>, method: string): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const sent = request({ host: '127.0.0.1', port, path, method, headers, agent: false, timeout: 5000 }, (response) => {
    const parts: Buffer[] = [];
    response.on('data', (part: Buffer) => parts.push(part));
    response.on('end', () => {
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts) });
    });
    response.on('error', reject);
  });
  sent.on('error', reject);
  sent.on('timeout', () => sent.destroy(new Error('no answer')));
  sent.end();
  return promise;
}

test('/live answers as long as the agent does, ready or not', async (t) => {
  const set = await setUp(t);
  for (const reasons of [[], ['the agent is starting']]) {
    set.reasons = reasons;
    const { status, body, headers } = await set.get('/live');
    assert.deepEqual([status, String(body), headers['content-type']], [200, 'live\n', 'text/plain; charset=utf-8']);
  }
});

test('/ready tells every reason not to be, at the time of the question', async (t) => {
  const set = await setUp(t);
  assert.equal((await set.get('/ready')).status, 200);
  set.reasons = ['the agent is starting', 'no worker runs'];
  const { status, body } = await set.get('/ready');
  assert.deepEqual([status, String(body)], [503, 'the agent is starting\nno worker runs\n']);
  set.reasons = [];
  assert.equal(String((await set.get('/ready?verbose')).body), 'ready\n');
});

test('strangers are told codes, and who a stranger is says the address', () => {
  for (const own of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) assert.ok(isLoopback(own), own);
  for (const other of ['10.1.27.0', '12.7.0.1', '::', '::ffff:10.127.0.1', 'fd00::1', '', undefined])
    assert.ok(!isLoopback(other), String(other));
  const reasons = [
    'WEFT-E306 the controller',
    'web.shop has no certificate yet: WEFT-E223 10.0.0.1',
    'WEFT-E306 again',
  ];
  assert.deepEqual(codesIn(reasons), ['WEFT-E306', 'WEFT-E223']);
  assert.deepEqual(codesIn(['the agent is starting']), ['not ready']);
});

function opened(body: Buffer | string, format: 'text' | 'openMetrics'): number | undefined {
  return parseExposition(String(body), format).samples.find(({ name }) => name === 'tcp_open_total')?.value;
}

test('/metrics in the format that is asked for', async (t) => {
  const set = await setUp(t);
  for (const accept of [undefined, '*/*', 'text/plain;version=0.0.4;q=0.5']) {
    const { status, headers, body } = await set.get('/metrics', accept === undefined ? {} : { accept });
    assert.deepEqual([status, headers['content-type']], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    assert.equal(headers['content-encoding'], undefined);
    assert.equal(opened(body, 'text'), 7);
  }
  const accept = 'application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'; // Prometheus
  const { headers, body } = await set.get('/metrics', { accept });
  assert.equal(headers['content-type'], 'application/openmetrics-text; version=1.0.0; charset=utf-8');
  assert.equal(opened(body, 'openMetrics'), 7);
});

test('/metrics compressed says the same as plain', async (t) => {
  const set = await setUp(t);
  const accepts = { text: 'text/plain', openMetrics: 'application/openmetrics-text' };
  for (const format of ['text', 'openMetrics'] as const) {
    const accept = accepts[format];
    const { headers, body } = await set.get('/metrics', { accept, 'accept-encoding': 'gzip' });
    assert.equal(headers['content-encoding'], 'gzip');
    const plain = (await set.get('/metrics', { accept })).body;
    const unpacked = gunzipSync(body);
    assert.ok(body.length < unpacked.length / 2);
    const ours = (text: string): string[] =>
      text.split('\n').filter((line) => /^(tcp_|weft_|control_|# EOF)/.test(line));
    assert.deepEqual(ours(String(unpacked)), ours(String(plain)));
    assert.equal(opened(unpacked, format), 7);
  }
  for (const encoding of ['identity', 'br', 'gzip;q=0', 'gzip; q=0.0, br']) {
    const { headers } = await set.get('/metrics', { 'accept-encoding': encoding });
    assert.equal(headers['content-encoding'], undefined, encoding);
  }
  for (const encoding of ['br, gzip;q=0.5', 'GZIP', 'gzip,deflate']) {
    const { headers } = await set.get('/metrics', { 'accept-encoding': encoding });
    assert.equal(headers['content-encoding'], 'gzip', encoding);
  }
});

/** Of some megabytes, in pieces. */
function longExpositions(pieces: number, fails: () => Error | undefined): Expositions {
  async function* write(): AsyncGenerator<string> {
    for (let piece = 0; piece < pieces; piece++) {
      await nextTurn();
      const error = fails();
      if (error !== undefined && piece === pieces - 1) throw error;
      yield `# ${String(piece).padStart(7)} ${'x'.repeat(65_000)}\n`;
    }
  }
  const exposition = { contentType: 'text/plain', write };
  return { text: exposition, openMetrics: exposition };
}

test('long metrics come whole, compressed or not, and other questions are answered meanwhile', async (t) => {
  const set = await setUp(t, { metrics: longExpositions(100, () => undefined) });
  const answers = Promise.all([set.get('/metrics'), set.get('/metrics', { 'accept-encoding': 'gzip' })]);
  assert.equal((await set.get('/live')).status, 200);
  const [plain, packed] = await answers;
  assert.equal(plain.body.length, 100 * 65_011);
  assert.deepEqual(gunzipSync(packed.body), plain.body);
  assert.deepEqual([plain.headers.vary, packed.headers.vary], ['accept, accept-encoding', 'accept, accept-encoding']);
});

test('metrics that break off end their connection, so that nobody takes them for whole', async (t) => {
  const failure = new Error('nobody knows');
  const set = await setUp(t, { metrics: longExpositions(3, () => failure) });
  for (const headers of [{}, { 'accept-encoding': 'gzip' }])
    await assert.rejects(set.get('/metrics', headers), { code: 'ECONNRESET' });
  assert.deepEqual(set.errors, [failure, failure]);
});

test('who goes away before the end is no failure', async (t) => {
  const set = await setUp(t, { metrics: longExpositions(100, () => undefined) });
  const socket = connect(set.port, '127.0.0.1');
  socket.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
  await new Promise((resolve) => socket.once('data', resolve));
  socket.destroy();
  assert.equal((await set.get('/metrics')).status, 200);
  assert.deepEqual(set.errors, []);
});

test('HEAD gets the head of the answer and no body', async (t) => {
  const set = await setUp(t);
  for (const path of ['/live', '/ready', '/metrics']) {
    const { status, headers, body } = await set.get(path, {}, 'HEAD');
    assert.deepEqual([status, body.length], [200, 0], path);
    assert.equal(headers['content-type'], (await set.get(path)).headers['content-type']);
  }
  set.reasons = ['the agent is starting'];
  assert.equal((await set.get('/ready', {}, 'HEAD')).status, 503);
});

test('other paths are not found, other methods not allowed', async (t) => {
  const set = await setUp(t);
  for (const path of ['/', '/live/', '//live', '/Live', '/metrics/x', '/__proto__', '/constructor', '/%6Cive'])
    assert.equal((await set.get(path)).status, 404, path);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) {
    const { status, headers } = await set.get('/metrics', {}, method);
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD'], method);
    assert.equal((await set.get('/shutdown', {}, method)).status, 404);
  }
  assert.equal((await set.get('/live')).status, 200);
  assert.deepEqual(set.errors, []);
});

/** Resolves to all that is answered until the connection ends. */
async function sendRaw(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.setTimeout(5000, () => socket.destroy(new Error('no end')));
  socket.end(bytes);
  return text(socket);
}

test('what is no request of HTTP is refused, and the server goes on', async (t) => {
  const set = await setUp(t);
  const hosts = 'Host: a\r\nConnection: close\r\n\r\n';
  const cases: [string, RegExp][] = [
    ['garbage\r\n\r\n', /^HTTP\/1\.1 400 /],
    [`GET toString HTTP/1.1\r\n${hosts}`, /^HTTP\/1\.1 4/],
    [`GET constructor HTTP/1.1\r\n${hosts}`, /^HTTP\/1\.1 4/],
    [`OPTIONS * HTTP/1.1\r\n${hosts}`, /^HTTP\/1\.1 404 /],
    [`GET http://a/live HTTP/1.1\r\n${hosts}`, /^HTTP\/1\.1 404 /],
    [`GET /live HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n${hosts}`, /^HTTP\/1\.1 431 /],
    [`GET /live HTTP/1.1\r\n${hosts}`, /^HTTP\/1\.1 200 [^]*live\n/],
    [`CONNECT a:1 HTTP/1.1\r\n${hosts}`, /^$/],
  ];
  for (const [bytes, expected] of cases) assert.match(await sendRaw(set.port, bytes), expected, bytes.slice(0, 40));
  assert.deepEqual(set.errors, []);
});

test('an answer that cannot be made is told of, and ends its connection only', async (t) => {
  let fails = true;
  const failure = new Error('nobody knows');
  const set = await setUp(t, {
    reasonsNotReady: () => {
      if (fails) throw failure;
      return [];
    },
  });
  await assert.rejects(set.get('/ready'), { code: 'ECONNRESET' });
  assert.deepEqual(set.errors, [failure]);
  assert.equal((await set.get('/live')).status, 200);
  fails = false;
  assert.equal((await set.get('/ready')).status, 200);
});

test('an agent that takes over listens beside the old one', async (t) => {
  const first = await setUp(t);
  const successor = new AdminServer({
    metrics: createExpositions(createRegistries(count)),
    reasonsNotReady: () => [],
    onError: (error) => first.errors.push(error),
  });
  assert.equal(await successor.listen('127.0.0.1', first.port), first.port);
  t.after(() => successor.close());
  await first.server.close();
  assert.equal((await first.get('/live')).status, 200);
  assert.deepEqual(first.errors, []);
});

test('closing ends the connections that are open, and listening where one may not fails', async (t) => {
  const set = await setUp(t);
  const socket = connect(set.port, '127.0.0.1');
  const ended = text(socket).catch(() => '');
  await new Promise((resolve) => socket.once('connect', resolve));
  await set.server.close();
  await ended;
  await assert.rejects(set.get('/live'), { code: 'ECONNREFUSED' });
  const elsewhere = new AdminServer({
    metrics: createExpositions(createRegistries(count)),
    reasonsNotReady: () => [],
    onError: () => undefined,
  });
  await assert.rejects(elsewhere.listen('192.0.2.1', 0), { code: 'EADDRNOTAVAIL' });
});

test('whoever opens connections and keeps them does not keep probes out', async (t) => {
  const set = await setUp(t);
  const silent = Array.from({ length: 200 }, () => connect(set.port, '127.0.0.1').on('error', () => undefined));
  t.after(() => {
    for (const socket of silent) socket.destroy();
  });
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  assert.equal((await set.get('/live')).status, 200);
  await setTimeout(200);
  assert.ok(silent.filter(({ closed }) => !closed).length <= 64);
});

test('a reader who does not read on is let go of', async (t) => {
  const endless = {
    contentType: 'text/plain',
    write: async function* () {
      for (;;) yield await Promise.resolve('x'.repeat(65_536));
    },
  };
  const { port, errors } = await setUp(t, { metrics: { text: endless, openMetrics: endless }, stallMs: 200 });
  const reader = connect(port, '127.0.0.1').on('error', () => undefined);
  reader.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
  await setTimeout(1000);
  const end = Promise.race([once(reader, 'close'), setTimeout(3000, 'it is still there')]);
  reader.resume();
  assert.notEqual(await end, 'it is still there');
  assert.deepEqual(errors, []);
});
