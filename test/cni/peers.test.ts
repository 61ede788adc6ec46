/** What the agent's server does with peers that are not the plugin, or that leave. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { encodeMessage } from '../../node-agent/main/cni-message.ts';
import { writeNamespacesFile } from '../../node-agent/main/namespaces-file.ts';
import { startAgent } from './agents.ts';
import { Runtime } from './plugin.ts';

function open(t: TestContext, path: string): Socket {
  const socket = connect(path).on('error', () => undefined);
  t.after(() => socket.destroy());
  return socket;
}

/** Resolves to what came until the other side closed. */
async function closed(socket: Socket, deadlineMs: number): Promise<string> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) await once(socket, 'close', { signal: AbortSignal.timeout(deadlineMs) });
  return Buffer.concat(chunks).toString();
}

const requests: Readonly<Record<string, readonly [Uint8Array, RegExp]>> = {
  'no JSON': [Buffer.from([0, 0, 0, 0]), /"code":6/],
  'a length of 4 GiB': [Buffer.from([0xff, 0xff, 0xff, 0xff, 1]), /"code":7/],
  'an empty object': [encodeMessage({}), /"code":7/],
  'another verb': [encodeMessage({ env: { CNI_COMMAND: 'STATUS' }, config: {} }), /"code":4/],
  'ADD without a container': [encodeMessage({ env: { CNI_COMMAND: 'ADD' }, config: {} }), /"code":4/],
  'half a length': [Buffer.from([0, 0]), /^$/],
  'half a message': [encodeMessage({ env: {} }).subarray(0, 9), /^$/],
  nothing: [Buffer.alloc(0), /^$/],
};
for (const [what, [bytes, answer]] of Object.entries(requests)) {
  test(`a peer that sends ${what} and ends`, async (t) => {
    const runtime = new Runtime(t);
    const { calls } = await startAgent(t, runtime.socket);
    const socket = open(t, runtime.socket);
    socket.end(bytes);
    assert.match(await closed(socket, 1000), answer);
    assert.equal(calls.length, 0);
  });
}

test('a request that comes byte by byte is understood, without work in between', async (t) => {
  const runtime = new Runtime(t);
  await startAgent(t, runtime.socket);
  const socket = open(t, runtime.socket);
  const before = process.cpuUsage();
  for (const byte of encodeMessage({ env: {}, config: {} })) {
    socket.write(Uint8Array.of(byte));
    await delay(10);
  }
  assert.match(await closed(socket, 1000), /"code":4/);
  const { user, system } = process.cpuUsage(before);
  assert.ok(user + system < 150_000, `${user + system} µs of CPU`);
});

test('the handler is told when the plugin goes away', async (t) => {
  const runtime = new Runtime(t);
  const { calls } = await startAgent(t, runtime.socket, () => new Promise(() => undefined));
  const socket = open(t, runtime.socket);
  socket.write(encodeMessage({ env: runtime.variables('DEL'), config: {} }));
  while (calls.length === 0) await delay(5);
  assert.equal(calls[0]?.signal.aborted, false);
  socket.destroy();
  await delay(100);
  assert.equal(calls[0].signal.aborted, true);
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
