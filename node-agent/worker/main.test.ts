import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Channel, channelDescriptor } from './channel.ts';
import { seriesMemoryBytes } from '../metrics/series-memory.ts';
import type { WorkerOptions } from './messages.ts';
import { capabilitiesIn } from './privileges.ts';

/** Stands for the addon: an engine that keeps the process alive and has a connection that proves the worker's answer. */
const fakeAddon = `
exports.forbidCoreDumps = () => {};
exports.mapSharedMemory = () => new ArrayBuffer(${seriesMemoryBytes});
exports.createEngine = (options) => {
  const alive = setInterval(() => {}, 1000);
  const words = new Uint32Array(options.record);
  setTimeout(() => {
    options.onListener(1, 61000, Uint8Array.of(0,0,0,0,0,0,0,0,0,0,255,255,10,0,0,7), new Uint8Array(16));
    words.set([1, 1, 4, 9, 40000]);
    new Uint8Array(options.record, 32, 16).set([0,0,0,0,0,0,0,0,0,0,255,255,169,254,117,0]);
    options.onConnection();
  }, 50);
  return {
    statistics: () => ({ connections: 0 }),
    defineHeaderEdits: () => 1,
    stopAccepting: () => {},
    close: () => clearInterval(alive),
  };
};`;

function startWorker(t: TestContext): ChildProcess {
  const folder = mkdtempSync(join(tmpdir(), 'weft-worker-'));
  const addon = join(folder, 'addon.cjs');
  writeFileSync(addon, fakeAddon);
  const options: WorkerOptions = {
    slot: 3,
    brokerPath: '/nowhere',
    uid: 2102,
    clientsMap: -1,
    metricsMemory: 4,
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
  };
  const script = new URL('main.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    detached: true,
    env: { ...process.env, WEFT_ADDON: addon },
  });
  t.after(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true });
  });
  return child;
}

test('a worker gives up its privileges, reports, outlives main and ends on SIGTERM', { timeout: 10_000 }, async (t) => {
  assert.equal(process.getuid?.(), 0, 'this test must run as root, or it proves nothing');
  const child = startWorker(t);
  const { promise: first, resolve } = Promise.withResolvers<unknown>();
  const socket = child.stdio[channelDescriptor] as Socket;
  const channel = Channel.toWorker(socket, { onMessage: resolve, onEnd: () => undefined });
  void channel.send({ type: 'expect-proof', pod: 1 });
  const message = await first;
  assert.deepEqual(message, { type: 'proof', pod: 1, direction: 'outbound', remotePort: 40000 });

  const status = readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8');
  assert.equal(capabilitiesIn(status), 0n);
  assert.match(status, /^Uid:\s2102\s2102\s2102\s2102$/m);
  assert.match(status, /^Gid:\s2102\s2102\s2102\s2102$/m);
  assert.match(status, /^Groups:\s*$/m);

  socket.destroy();
  await delay(200);
  assert.equal(child.exitCode, null, 'it must go on without main');
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
});

test('capabilities that are effective or could become so are seen', () => {
  const status = (effective: string, permitted: string): string =>
    `Name:\tx\nCapPrm:\t${permitted}\nCapEff:\t${effective}\n`;
  assert.equal(capabilitiesIn(status('0000000000000000', '0000000000000000')), 0n);
  assert.equal(capabilitiesIn(status('0000000000000000', '0000000000001000')), 0x1000n);
  assert.equal(capabilitiesIn(status('0000000000200000', '0000000000200000')), 0x200000n);
  assert.throws(() => capabilitiesIn('Name:\tx\n'), { code: 'WEFT-E110' });
});
