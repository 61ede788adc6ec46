import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';

import fc from 'fast-check';

import { WeftError } from '../../mesh/errors.ts';
import type { DirectoryMemory } from '../../node-agent/main/directory/directory-cache.ts';
import { loadMemory, saveMemory } from '../../node-agent/main/directory/directory-cache.ts';
import { TestController, cacheFile, startAgent, startController, until } from './harness.ts';

const workload = {
  uid: 'u1',
  namespace: 'shop',
  name: 'web',
  node: 'n1',
  serviceAccount: 'default',
  owner: { kind: 'deployment' as const, name: 'web' },
  templateHash: '5d69b8d9c8',
  identity: 'default.shop.test',
  wanted: true,
  meshed: true,
  opaquePorts: [[25, 25]] as const,
  skippedPorts: [[4567, 4568]] as const,
};
const endpoint = {
  address: 'fd00::1',
  port: 8080,
  ready: true,
  serving: true,
  terminating: false,
  node: 'n1',
  zone: '',
  workload,
};
const memory: DirectoryMemory = {
  node: 'n1',
  epoch: 'e',
  workloadsVersion: 7,
  workloads: [
    {
      ...workload,
      addresses: ['10.0.0.1'],
      phase: 'Running',
      containerPorts: [80],
      configuration: {},
      unwantedReason: '',
    },
  ],
  knowsWorkloads: true,
  namespaces: [{ name: 'shop', configuration: { 'config.linkerd.io/skip-inbound-ports': '25' } }],
  destinations: [
    {
      address: '10.96.0.1',
      port: 80,
      version: 3,
      destination: {
        kind: 'service',
        service: {
          namespace: 'shop',
          name: 'web',
          portName: 'http',
          appProtocol: '',
          opaquePorts: [],
          sessionAffinity: false,
          nodeLocal: false,
        },
        endpoints: new Map([['[fd00::1]:8080', endpoint]]),
      },
    },
    { address: '192.0.2.1', port: 443, version: 4, destination: { kind: 'external' } },
  ],
  trustBundle: { anchors: [Buffer.of(1, 2), Buffer.of(3)], issuer: Buffer.of(4) },
};

test('what is saved is what is loaded, and only its owner may read it', async (t) => {
  const path = cacheFile(t);
  assert.equal(await loadMemory(path, 'n1'), undefined);
  await saveMemory(path, memory);
  assert.deepEqual(await loadMemory(path, 'n1'), memory);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(dirname(path)), ['directory'], 'nothing temporary is left');
});

test('a file of another node, of another format, or with any byte changed or cut off is not used', async (t) => {
  const path = cacheFile(t);
  await saveMemory(path, memory);
  const good = readFileSync(path);
  const isRefused = async (): Promise<boolean> => {
    const loaded = await loadMemory(path, 'n1');
    return loaded instanceof WeftError && loaded.code === 'WEFT-E307';
  };
  const other = await loadMemory(path, 'n2');
  assert.ok(other instanceof WeftError && other.message.includes('n1'));
  writeFileSync(path, good.toString().replace(/^weft-directory \d+ /, 'weft-directory 1 '));
  assert.ok(await isRefused());
  await fc.assert(
    fc.asyncProperty(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), async (index, difference) => {
      const bad = Buffer.from(good);
      bad[index] = (bad[index] ?? 0) ^ difference;
      writeFileSync(path, bad);
      assert.ok(await isRefused(), `byte ${index}`);
      writeFileSync(path, good.subarray(0, index));
      assert.ok(await isRefused(), `cut at ${index}`);
    }),
    { numRuns: 100 },
  );
});

test('an agent with a corrupt cache tells it and learns everything again', async (t) => {
  const path = cacheFile(t);
  writeFileSync(path, 'rubbish');
  const controller = await startController(t);
  controller.shop('n1');
  const agent = await startAgent(t, 'n1', controller.port, {}, path);
  assert.deepEqual(
    agent.problems.map(({ code }) => code),
    ['WEFT-E307'],
  );
  agent.client.lookUp('10.96.0.1', 80);
  await until(() => agent.destinations.has('10.96.0.1:80'), 'the service is answered');
  await agent.stop();
  assert.ok(!((await loadMemory(path, 'n1')) instanceof WeftError), 'the next one finds a good file');
});

test('a cache that cannot be written is told, and the agent goes on', async (t) => {
  const path = cacheFile(t);
  mkdirSync(path);
  const controller = await startController(t);
  controller.shop('n1');
  const agent = await startAgent(t, 'n1', controller.port, { limits: { saveMs: 1 } }, path);
  agent.client.lookUp('10.96.0.1', 80);
  await until(() => agent.problems.some(({ message }) => message.includes('cannot be written')), 'the fault is told');
  await until(() => agent.destinations.has('10.96.0.1:80'), 'the service is answered');
});

test('what is idle is forgotten, but not while the controller is away', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const controller = await startController(t);
  controller.shop('n1');
  const forgotten: string[] = [];
  const agent = await startAgent(t, 'n1', controller.port, {
    limits: { idleMs: 0 },
    onForgotten: (address) => forgotten.push(address),
  });
  agent.client.lookUp('10.96.0.1', 80);
  await until(() => agent.destinations.has('10.96.0.1:80'), 'the service is answered');
  await controller.close();
  await until(() => !agent.client.isConnected, 'the agent notices');
  t.mock.timers.tick(30_000);
  assert.deepEqual(forgotten, []);
  const { port } = controller;
  const successor = await new TestController().start(port);
  t.after(() => successor.close());
  await until(() => agent.client.isConnected, 'the agent is connected again');
  t.mock.timers.tick(30_000);
  assert.deepEqual(forgotten, ['10.96.0.1']);
});
