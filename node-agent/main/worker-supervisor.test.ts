import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { Logger } from '../log.ts';
import type { MessageToMain, MessageToWorker } from '../worker/messages.ts';
import type { SupervisorOptions } from './worker-supervisor.ts';
import { WorkerSupervisor } from './worker-supervisor.ts';

const channelModule = JSON.stringify(new URL('../worker/channel.ts', import.meta.url).pathname);
const connect = `
const { Channel } = require(${channelModule});
let onMessage = () => {};
const socket = new (require('node:net').Socket)({ fd: 3 });
const channel = Channel.toMain(socket, { onMessage: (message) => onMessage(message), onEnd: () => {} });
`;

/** Answers every message of main with one that tells its slot, the message's pod and the size of what descriptor 4 names. */
const fakeWorker = `
const { fstatSync } = require('node:fs');
${connect}const { slot, clientsMap } = JSON.parse(process.argv[2]);
onMessage = (message) => {
  if (message.type === 'pod-released') process.exit(7);
  const remotePort = clientsMap === -1 ? 0 : fstatSync(clientsMap).size;
  channel.send({ type: 'proof', pod: message.pod + slot, direction: 'inbound', remotePort });
  if (message.type === 'forget-proof') channel.send({ type: 'nonsense' });
};
process.on('SIGTERM', () => process.exit(0));
setInterval(() => {}, 1000);`;

interface Started {
  readonly supervisor: WorkerSupervisor;
  readonly messages: MessageToMain[];
  readonly logged: string[];
}

function start(t: TestContext, changed: Partial<SupervisorOptions> = {}, script = fakeWorker): Started {
  const folder = mkdtempSync(join(tmpdir(), 'weft-supervisor-'));
  writeFileSync(join(folder, 'worker.cjs'), script);
  writeFileSync(join(folder, 'map'), 'x'.repeat(12));
  const map = openSync(join(folder, 'map'), 'r');
  const messages: MessageToMain[] = [];
  const logged: string[] = [];
  const note = (_: unknown, text: string): void => void logged.push(text);
  const supervisor = new WorkerSupervisor({
    count: 2,
    worker: {
      brokerPath: '/nowhere',
      uid: 2102,
      pipes: 8,
      pipeBytes: 65536,
      outboundConnectTimeoutMs: 1000,
      peerConnectTimeoutMs: 10_000,
      inboundConnectTimeoutMs: 300,
      idleTimeoutMs: 0,
      drainTimeoutMs: 0,
      logConnections: false,
      identitySuffix: '.mesh',
      sameNodeMtls: false,
    },
    clientsMap: map,
    metrics: [map, map],
    greetings: () => [],
    onMessage: (message) => messages.push(message),
    log: { debug: note, info: note, warn: note, error: note } as unknown as Logger,
    script: join(folder, 'worker.cjs'),
    ...changed,
  });
  t.after(async () => {
    await supervisor.stop(5000);
    closeSync(map);
    rmSync(folder, { recursive: true });
  });
  supervisor.start();
  return { supervisor, messages, logged };
}

async function until(condition: () => boolean, what: string, deadlineMs = 5000): Promise<void> {
  const begun = performance.now();
  while (!condition()) {
    if (performance.now() - begun > deadlineMs) assert.fail(`after ${deadlineMs} ms: ${what}`);
    await delay(5);
  }
}

const podsIn = (messages: readonly MessageToMain[]): number[] =>
  messages.flatMap((message) => (message.type === 'proof' ? message.pod : [])).sort();

test('each worker knows its slot, inherits the map and hears every broadcast', async (t) => {
  const { supervisor, messages } = start(t);
  assert.deepEqual(supervisor.counts(), { wanted: 2, running: 2, restarts: 0 });
  supervisor.broadcast({ type: 'expect-proof', pod: 10 });
  await until(() => messages.length === 2, 'the workers do not answer');
  assert.deepEqual(podsIn(messages), [10, 11]);
  assert.ok(messages.every((message) => message.type === 'proof' && message.remotePort === 12));
});

test('a worker that crashes has a greeted successor at once; the other goes on', async (t) => {
  const greeting: MessageToWorker = { type: 'expect-proof', pod: 20 };
  const { supervisor, messages, logged } = start(t, { greetings: () => [greeting] });
  await until(() => messages.length === 2, 'the workers are not greeted');
  const [victim = 0, other = 0] = supervisor.pids();
  process.kill(victim, 'SIGKILL');
  await until(() => messages.length === 3, 'no successor is greeted');
  assert.deepEqual(supervisor.counts(), { wanted: 2, running: 2, restarts: 1 });
  assert.deepEqual(podsIn(messages), [20, 20, 21]);
  assert.ok(supervisor.pids().includes(other) && !supervisor.pids().includes(victim));
  assert.deepEqual(logged, ['worker ended']);
});

test('a worker that dies at once is not started without end', async (t) => {
  const { supervisor } = start(t, { count: 1 }, 'process.exit(1)');
  await delay(2000);
  const { restarts } = supervisor.counts();
  assert.ok(restarts >= 2 && restarts <= 12, `${restarts} restarts in two seconds`);
});

test('a message that makes no sense is not passed on', async (t) => {
  const { supervisor, messages, logged } = start(t, { count: 1 });
  supervisor.broadcast({ type: 'forget-proof', pod: 1 });
  await until(() => logged.length === 1, 'the nonsense is not noted');
  assert.deepEqual(logged, ['worker sent a message that makes no sense']);
  assert.equal(messages.length, 1);
});

test('abandoned workers go on and are not replaced; stopped ones end', async (t) => {
  const { supervisor, messages } = start(t);
  supervisor.broadcast({ type: 'expect-proof', pod: 1 });
  await until(() => messages.length === 2, 'the workers do not answer');
  supervisor.abandon();
  const [first = 0] = supervisor.pids();
  process.kill(first, 'SIGKILL');
  await until(() => supervisor.pids().length === 1, 'the end of a worker is not noticed');
  await delay(100);
  assert.equal(supervisor.pids().length, 1);
  await supervisor.stop(5000);
  assert.deepEqual(supervisor.counts(), { wanted: 2, running: 0, restarts: 0 });
});

test('a worker that does not end is waited for until the deadline, and goes on', async (t) => {
  const stubborn = `${connect}process.on('SIGTERM', () => {}); channel.send({ type: 'proof', pod: 1, direction: 'inbound', remotePort: 1 });`;
  const { supervisor, messages } = start(t, { count: 1 }, `${stubborn} setInterval(() => {}, 1000);`);
  await until(() => messages.length === 1, 'the worker does not start');
  const [pid = 0] = supervisor.pids();
  assert.deepEqual(await supervisor.stop(100), [pid]);
  process.kill(pid, 'SIGKILL');
  await until(() => supervisor.pids().length === 0, 'the end of the worker is not noticed');
});

test('a worker that cannot be made is tried again', async (t) => {
  const { execPath } = process;
  process.execPath = '/nonexistent/node';
  t.after(() => (process.execPath = execPath));
  const { supervisor } = start(t, { count: 1 });
  assert.equal(supervisor.counts().running, 0);
  await until(() => supervisor.counts().restarts >= 2, 'it is given up');
  process.execPath = execPath;
  await until(() => supervisor.counts().running === 1, 'it is not made once it can be');
});

test('a worker that writes what is no message, or one too long, is replaced, and main goes on', async (t) => {
  const bytesThatAreNone = {
    'no JSON': [0, 0, 0, 2, 0x7b, 0xff],
    'a message of V8': [0, 0, 0, 3, 0xff, 0x0f, 0x6f],
    'a message of no bytes': [0, 0, 0, 0],
    'a message without end': [0xff, 0xff, 0xff, 0xff, 0x7b],
  };
  for (const [what, bytes] of Object.entries(bytesThatAreNone)) {
    await t.test(what, async (inner) => {
      const script = `${connect}socket.write(Buffer.from([${bytes.join()}])); setInterval(() => {}, 1000);`;
      const { supervisor, messages, logged } = start(inner, { count: 1 }, script);
      await until(() => supervisor.counts().restarts > 0, 'it goes on');
      assert.deepEqual(logged.slice(0, 2), ['worker broke the channel; it is replaced', 'worker ended']);
      assert.deepEqual(messages, []);
    });
  }
});

test("Node's own messages mean nothing to main", async (t) => {
  const script = `${connect}channel.send({ cmd: 'NODE_HANDLE', type: 'nonsense' }); setInterval(() => {}, 1000);`;
  const { supervisor, logged } = start(t, { count: 1 }, script);
  await until(() => logged.length > 0, 'nothing comes');
  assert.deepEqual(logged, ['worker sent a message that makes no sense']);
  assert.equal(supervisor.counts().restarts, 0);
});
