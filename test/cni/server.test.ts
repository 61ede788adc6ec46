/** The plugin and the agent's server together. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { formatAddress } from '../../mesh/address.ts';
import { CniError } from '../../node-agent/main/cni-errors.ts';
import { writeNamespacesFile } from '../../node-agent/main/namespaces-file.ts';
import { WeftError } from '../../mesh/errors.ts';
import { silentLog, startAgent } from './agents.ts';
import { Runtime } from './plugin.ts';

const never = (): Promise<void> => new Promise(() => undefined);

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
  const brokerGone = new WeftError('WEFT-E105', 'the broker is gone');
  thrown = brokerGone;
  const known = (await runtime.call('ADD')).error;
  assert.deepEqual([known.code, known.msg, known.details], [11, 'WEFT-E105: the broker is gone', brokerGone.hint]);
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
    const before = made;
    agents.push(await startAgent(t, runtime.socket));
    while (made === before) await Promise.race([delay(5), callers]);
  }
  going = false;
  await callers;
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
