import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { Agent, request } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { after, test } from 'node:test';
import { connect } from 'node:tls';

import { Counter } from 'prom-client';

import { OpenSsl } from '../control-plane/identity/test-identity.ts';
import type { ErrorCode } from '../mesh/errors.ts';
import { WeftError } from '../mesh/errors.ts';
import { createExpositions } from './exposition.ts';
import { MetricsServer } from './metrics-server.ts';
import { createRegistries } from './registries.ts';
import { parseExposition } from './test-exposition.ts';

const scratch = new OpenSsl();
after(() => scratch.close());
const tls = scratch.localServer();
const good = { authorization: 'Bearer good' };

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

async function begin(t: TestContext, answers: Readonly<Record<string, ErrorCode | undefined>> = { good: undefined }) {
  const told: string[] = [];
  const clock = { now: 0 };
  const registries = createRegistries((registry) => {
    new Counter({ name: 'tcp_open_total', help: 'h', registers: [registry] }).inc(7);
  });
  const server = new MetricsServer({
    metrics: createExpositions(registries),
    readers: {
      review: (token) => {
        const code = token in answers ? answers[token] : 'WEFT-E230';
        return Promise.resolve(code && new WeftError(code, `the reason is ${token}`));
      },
    },
    onProblem: ({ code, message }) => told.push(`${code} ${message}`),
    onError: (error) => told.push(String(error)),
    now: () => clock.now,
  });
  server.setTls(tls);
  const port = await server.listen('127.0.0.1', 0);
  t.after(() => server.close());
  const ask = async (headers: Record<string, string> = {}, path = '/metrics', method = 'GET'): Promise<Answer> => {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const options = { host: '127.0.0.1', port, path, method, headers, ca: tls.cert, agent: false, timeout: 5000 };
    const sent = request(options, (response) => {
      const { statusCode: status = 0 } = response;
      text(response).then((body) => resolve({ status, headers: response.headers, body }), reject);
    });
    sent.on('error', reject);
    sent.on('timeout', () => sent.destroy(new Error('no answer')));
    sent.end();
    return promise;
  };
  return { server, port, told, clock, ask };
}

test('a reader with a good token gets metrics', async (t) => {
  const { ask, told } = await begin(t);
  for (const authorization of ['Bearer good', 'bearer  good']) {
    const { status, headers, body } = await ask({ authorization });
    assert.deepEqual([status, headers['content-type']], [200, 'text/plain; version=0.0.4; charset=utf-8']);
    assert.ok(
      parseExposition(body, 'text').samples.some(({ name, value }) => name === 'tcp_open_total' && value === 7),
    );
  }
  const head = await ask(good, '/metrics', 'HEAD');
  assert.deepEqual([head.status, head.body], [200, '']);
  assert.deepEqual(told, []);
});

test('nobody else does, and is told what to do', async (t) => {
  const { ask, told } = await begin(t, { stranger: 'WEFT-E231' });
  for (const authorization of [undefined, '', 'good', 'Basic Z29vZA==', 'Bearer', 'Bearer a b', 'Bearer bad']) {
    const { status, headers, body } = await ask(authorization === undefined ? {} : { authorization });
    assert.deepEqual(
      [status, headers['www-authenticate'], headers.connection],
      [401, 'Bearer realm="metrics"', 'close'],
    );
    assert.match(body, /^WEFT-E230 .*\. Send the token of a service account/);
  }
  const forbidden = await ask({ authorization: 'Bearer stranger' });
  assert.deepEqual([forbidden.status, forbidden.headers['www-authenticate']], [403, undefined]);
  assert.match(forbidden.body, /^WEFT-E231 the reason is stranger\. Bind the reader to a ClusterRole/);
  assert.deepEqual(told, [], 'strangers do not fill the log');
});

test('while nobody can say, the log tells why once, and the reader only what it is called', async (t) => {
  const answers: Record<string, ErrorCode | undefined> = { good: 'WEFT-E306' };
  const { ask, told, clock } = await begin(t, answers);
  for (let i = 0; i < 3; i++) {
    const { status, headers, body } = await ask(good);
    clock.now += 60_000;
    assert.deepEqual([status, headers['retry-after']], [503, '5']);
    assert.match(body, /^WEFT-E306\. /);
    assert.doesNotMatch(body, /reason/);
  }
  assert.deepEqual(told, ['WEFT-E306 the reason is good']);
  answers['good'] = undefined;
  assert.equal((await ask(good)).status, 200);
  answers['good'] = 'WEFT-E306';
  await ask(good);
  assert.equal(told.length, 2);
});

test('strangers who are answered now and then do not have it told again and again', async (t) => {
  const { ask, told, clock } = await begin(t, { crowd: 'WEFT-E232', away: 'WEFT-E306', good: undefined });
  for (let i = 0; i < 5; i++)
    for (const token of ['crowd', 'stranger', 'away', 'crowd', 'good']) await ask({ authorization: `Bearer ${token}` });
  assert.deepEqual(told, ['WEFT-E232 the reason is crowd', 'WEFT-E306 the reason is away']);
  clock.now += 60_000;
  await ask({ authorization: 'Bearer crowd' });
  assert.equal(told.length, 3);
});

test('nothing but /metrics is there, not even for who may read them', async (t) => {
  const { ask } = await begin(t);
  for (const path of ['/', '/live', '/ready', '/metrics/', '/debug/pprof'])
    assert.equal((await ask(good, path)).status, 404, path);
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS']) {
    const { status, headers } = await ask(good, '/metrics', method);
    assert.deepEqual([status, headers.allow], [405, 'GET, HEAD']);
  }
  assert.equal((await ask({ authorization: `Bearer ${'x'.repeat(20_000)}` })).status, 431);
});

test('without TLS nothing is said', async (t) => {
  const { port } = await begin(t);
  const plain = connectPlain(port, '127.0.0.1');
  plain.end('GET /metrics HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\n\r\n');
  assert.doesNotMatch(await text(plain).catch(() => ''), /tcp_open_total|HTTP/);
  const old = connect({ port, host: '127.0.0.1', ca: tls.cert, maxVersion: 'TLSv1.1', minVersion: 'TLSv1.1' });
  const [error] = (await once(old, 'error')) as [NodeJS.ErrnoException];
  assert.match(error.code ?? '', /^ERR_SSL/);
});

test('who connects and says nothing does not hold a place for long', async (t) => {
  const { port } = await begin(t);
  const started = performance.now();
  const silent = connectPlain(port, '127.0.0.1');
  const halting = connect({ port, host: '127.0.0.1', ca: tls.cert });
  halting.write('GET /metrics HTTP/1.1\r\nAuth');
  await Promise.all([text(silent).catch(() => ''), text(halting).catch(() => '')]);
  assert.ok(performance.now() - started < 9000);
});

test('strangers who hold connections keep no reader out, and end none that is known', async (t) => {
  const { server, port, ask } = await begin(t);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  const askAgain = async (): Promise<readonly [number | undefined, boolean]> => {
    const sent = request({ host: '127.0.0.1', port, path: '/metrics', headers: good, ca: tls.cert, agent });
    const answered = once(sent, 'response') as Promise<[IncomingMessage]>;
    sent.end();
    const [response] = await answered;
    await text(response);
    return [response.statusCode, sent.reusedSocket];
  };
  assert.deepEqual(await askAgain(), [200, false]);
  const silent = Array.from({ length: 200 }, () => connectPlain(port, '127.0.0.1').on('error', () => undefined));
  t.after(() => {
    for (const socket of silent) socket.destroy();
  });
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  assert.equal((await ask(good)).status, 200);
  assert.deepEqual(await askAgain(), [200, true]);
  assert.ok(silent.filter(({ closed }) => !closed).length <= 64);
  const started = performance.now();
  await server.close();
  assert.ok(performance.now() - started < 2000, 'nor do they hold up the end');
});
