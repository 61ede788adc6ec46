/** The plugin and the agent's server together, and what the server does with peers that are not the plugin. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { formatAddress } from '../../mesh/address.ts';
import { CniError } from '../../node-agent/main/cni-errors.ts';
import { encodeMessage } from '../../node-agent/main/cni-message.ts';
import { writeNamespacesFile } from '../../node-agent/main/namespaces-file.ts';
import { WeftError } from '../../node-agent/errors.ts';
import { silentLog, startAgent } from './agents.ts';
import { Runtime } from './plugin.ts';

const never = (): Promise<void> => new Promise(() => undefined);

function open(t: TestContext, path: string): Socket {
  const socket = connect(path).on('error', () => undefined);
  t.after(() => socket.destroy());
  return socket;
}

async function closed(socket: Socket, deadlineMs: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk as Buffer));
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(deadlineMs) });
  return Buffer.concat(chunks);
}

test('the handler learns everything about the call', async (t) => {
  const runtime = new Runtime(t);
  const { calls } = await startAgent(t, runtime.socket);
  await runtime.call('ADD');
  await runtime.call('GC', { 'cni.dev/valid-attachments': [{ containerID: 'abc', ifname: 'eth0' }] });
  const [add, gc] = calls.map(({ request }) => request);
  assert.ok(add !== undefined);
  assert.deepEqual(
    { ...add, addresses: add.addresses.map(formatAddress) },
    {
      command: 'ADD',
      containerId: 'abc_1.2-3',
      netns: '/run/netns/one',
      ifname: 'eth0',
      podNamespace: 'shop',
      podName: 'web',
      podUid: 'u1',
      addresses: ['10.0.0.7'],
      validAttachments: [],
    },
  );
  assert.deepEqual(gc?.validAttachments, [{ containerId: 'abc', ifname: 'eth0' }]);
});

test("the handler's errors reach the runtime", async (t) => {
  const runtime = new Runtime(t);
  const logged: unknown[] = [];
  let thrown: Error = new CniError('tryAgainLater', 'not "yet"\n');
  const log = { ...silentLog, error: (fields: unknown) => logged.push(fields) };
  await startAgent(t, runtime.socket, () => Promise.reject(thrown), log);
  for (const verb of ['ADD', 'DEL', 'CHECK', 'GC'] as const) {
    const { status, error } = await runtime.call(verb, { cniVersion: '1.1.0' });
    assert.equal(status, 1);
    assert.deepEqual({ ...error, details: '' }, { cniVersion: '1.1.0', code: 11, msg: 'not "yet"\n', details: '' });
    assert.match(error.details, /log/);
  }
  assert.equal(logged.length, 0);
  thrown = new WeftError('WEFT-E105', 'the broker is gone');
  const known = (await runtime.call('ADD')).error;
  assert.deepEqual(
    [known.code, known.msg, known.details],
    [11, 'WEFT-E105: the broker is gone', (thrown as WeftError).hint],
  );
  thrown = new TypeError('x is not a function');
  assert.equal((await runtime.call('ADD')).error.code, 100);
  assert.equal(logged.length, 2);
});

test('GC without a list of what is valid is refused', async (t) => {
  const runtime = new Runtime(t);
  const { calls } = await startAgent(t, runtime.socket);
  assert.equal((await runtime.call('GC', { 'cni.dev/valid-attachments': undefined })).error.code, 7);
  assert.equal(calls.length, 0);
});

test('the socket is for root alone and nothing else is left in the folder', async (t) => {
  const runtime = new Runtime(t);
  const { server } = await startAgent(t, runtime.socket);
  assert.equal(statSync(runtime.socket).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(runtime.folder), ['cni.sock']);
  await server.close();
  assert.deepEqual(readdirSync(runtime.folder), []);
});

test('a successor takes over without a failed call, and its predecessor leaves its socket alone', async (t) => {
  const runtime = new Runtime(t);
  const first = await startAgent(t, runtime.socket);
  let going = true;
  let made = 0;
  const caller = async (): Promise<void> => {
    for (; going; made++) assert.equal((await runtime.call('ADD')).status, 0); // no namespaces file: the agent must answer
  };
  const callers = Promise.all([caller(), caller(), caller()]);
  const agents = [first];
  for (let generation = 0; generation < 20; generation++) {
    agents.push(await startAgent(t, runtime.socket));
    await delay(10);
  }
  going = false;
  await callers;
  assert.ok(made >= 20, `${made} calls`);
  await first.server.close();
  assert.ok(existsSync(runtime.socket));
  assert.equal((await runtime.call('ADD')).status, 0);
});

test('a call that takes too long is left to the plugin, and the handler told so', async (t) => {
  const runtime = new Runtime(t);
  writeNamespacesFile(runtime.namespacesFile, ['shop']);
  const { calls } = await startAgent(t, runtime.socket, never);
  const [optedIn, optedOut] = await Promise.all([runtime.call('ADD', {}, 'shop'), runtime.call('ADD', {}, 'other')]);
  assert.equal(optedIn.error.code, 11);
  assert.equal(optedOut.status, 0);
  assert.ok(Math.max(optedIn.tookMs, optedOut.tookMs) < 2000);
  await delay(200);
  assert.deepEqual(
    calls.map(({ signal }) => signal.aborted),
    [true, true],
  );
});

test('closing ends calls that are under way', async (t) => {
  const runtime = new Runtime(t);
  const { server, calls } = await startAgent(t, runtime.socket, never);
  const call = runtime.call('ADD');
  while (calls.length === 0) await delay(5);
  await server.close();
  assert.equal((await call).error.code, 11);
  assert.equal(calls[0]?.signal.aborted, true);
});

test('peers that are not the plugin get an error or nothing, and leave no connection behind', async (t) => {
  const runtime = new Runtime(t);
  const { calls } = await startAgent(t, runtime.socket);
  const cases: readonly (readonly [Buffer, RegExp])[] = [
    [Buffer.from([0, 0, 0, 0]), /"code":6/],
    [Buffer.from([0xff, 0xff, 0xff, 0xff, 1]), /"code":7/],
    [Buffer.from([0, 0, 0, 2, 0x7b, 0x7d]), /"code":7/],
    [encodeMessage({ env: { CNI_COMMAND: 'STATUS' }, config: {} }), /"code":4/],
    [encodeMessage({ env: { CNI_COMMAND: 'ADD' }, config: {} }), /"code":4/],
    [Buffer.from([0, 0]), /^$/],
    [Buffer.alloc(0), /^$/],
  ];
  for (const [bytes, answer] of cases) {
    const socket = open(t, runtime.socket);
    socket.end(bytes);
    assert.match((await closed(socket, 1000)).toString(), answer);
  }
  const dribbled = open(t, runtime.socket);
  for (const byte of encodeMessage({ env: {}, config: {} })) {
    dribbled.write(Uint8Array.of(byte));
    await delay(1);
  }
  assert.match((await closed(dribbled, 1000)).toString(), /"code":4/);
  assert.equal(calls.length, 0);
});

test('connections are bounded in number and in time', async (t) => {
  const runtime = new Runtime(t);
  writeNamespacesFile(runtime.namespacesFile, ['shop']);
  await startAgent(t, runtime.socket);
  const idle = Array.from({ length: 256 }, () => open(t, runtime.socket));
  await Promise.all(idle.map((socket) => once(socket, 'connect', { signal: AbortSignal.timeout(1000) })));
  const [optedIn, optedOut] = await Promise.all([runtime.call('ADD', {}, 'shop'), runtime.call('ADD', {}, 'other')]);
  assert.equal(optedIn.error.code, 11);
  assert.equal(optedOut.status, 0);
  await Promise.all(idle.map((socket) => closed(socket, 3000)));
  assert.equal((await runtime.call('ADD', {}, 'shop')).status, 0);
});
