import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { startupTaint } from '../mesh/startup-taint.ts';
import { OpenSsl } from './identity/test-identity.ts';
import { FakeLease } from './leadership/fake-lease.ts';
import { FakeApiServer } from './sources/kubernetes/fake-api-server.ts';
import { resourceKinds } from './sources/kubernetes/resource-kinds.ts';

const scratch = new OpenSsl();
after(() => scratch.close());
const tls = scratch.localServer();
const entry = new URL('main.ts', import.meta.url).pathname;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

interface Running {
  readonly process: ChildProcess;
  readonly admin: string;
  readonly log: () => string;
}

function run(t: TestContext, ports: readonly [number, number], ...flags: readonly string[]): Running {
  const child = spawn(
    process.execPath,
    [entry, '--state-dir', join(scratch.folder, 'state'), '--listen', `127.0.0.1:${ports[0]}`, ...flags].concat(
      ...['--admin', `127.0.0.1:${ports[1]}`],
    ),
    { stdio: ['ignore', 'ignore', 'pipe'], env: { PATH: process.env['PATH'] } },
  );
  t.after(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  return { process: child, admin: `http://127.0.0.1:${ports[1]}`, log: () => log };
}

async function runInCluster(t: TestContext, server: URL): Promise<Running> {
  scratch.write(
    'kubeconfig',
    JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'test' },
      clusters: [{ name: 'test', cluster: { server: server.href, 'certificate-authority': 'local.crt' } }],
      users: [{ name: 'test', user: { token: 'secret' } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    }),
  );
  const ports = [await freePort(), await freePort()] as const;
  return run(t, ports, '--kubernetes', '--kubeconfig', join(scratch.folder, 'kubeconfig'));
}

async function statusOf(url: string): Promise<number> {
  return fetch(url).then(
    (response) => response.status,
    () => 0,
  );
}

test('a controller of a cluster is ready once it has read everything, and stays so without the API server', async (t) => {
  const server = new FakeApiServer(
    resourceKinds.map(({ path }) => path),
    { tls, token: 'secret' },
  );
  const { url } = await server.listen();
  t.after(() => server.close().catch(() => undefined));
  server.apply('/api/v1/pods', { metadata: { namespace: 'shop', name: 'web', uid: 'web' }, spec: { containers: [] } });
  server.fail('/api/v1/pods', 'list', { status: 403, message: 'pods is forbidden' }, { delayMs: 500 });
  const controller = await runInCluster(t, url);
  const begun = performance.now();
  const seen = new Set<number>();
  while (!seen.has(200) && performance.now() - begun < 20_000) {
    seen.add(await statusOf(`${controller.admin}/ready`));
    await delay(50);
  }
  assert.ok(seen.has(503) && seen.has(200), `${[...seen].join()}: ${controller.log()}`);
  assert.match(controller.log(), /WEFT-E121.*pods is forbidden/);
  const metrics = await (await fetch(`${controller.admin}/metrics`)).text();
  assert.match(metrics, /weft_workloads 1\n/);
  assert.match(metrics, /weft_source_objects\{kind="Pod"\} 1\n/);
  assert.match(metrics, /weft_source_lists_total\{kind="Pod",reason="start"\} 1\n/);
  assert.match(metrics, /weft_source_heard_timestamp_seconds\{kind="Pod"\} \d{10}/);
  await server.close();
  await delay(300);
  assert.equal(await statusOf(`${controller.admin}/ready`), 200);
  controller.process.kill('SIGTERM');
  const [code] = (await once(controller.process, 'exit')) as [number | null];
  assert.equal(code, 0);
});

async function isLeader({ admin }: Running): Promise<boolean | undefined> {
  const metrics = await fetch(`${admin}/metrics`).then(
    (response) => response.text(),
    () => '',
  );
  const [, value] = /^weft_controller_leader (\d)$/m.exec(metrics) ?? [];
  return value === undefined ? undefined : value === '1';
}

async function until(isTrue: () => Promise<boolean>, what: () => string, deadlineMs = 20_000): Promise<void> {
  const begun = performance.now();
  while (!(await isTrue())) {
    assert.ok(performance.now() - begun < deadlineMs, what());
    await delay(50);
  }
}

test('of two replicas one leads and writes, both are ready, and the other goes on where it ends', async (t) => {
  const server = new FakeApiServer(
    resourceKinds.map(({ path }) => path),
    { tls, token: 'secret' },
  );
  const lease = new FakeLease(server, 'weft-system');
  const { url } = await server.listen();
  t.after(() => server.close().catch(() => undefined));
  const taint = { key: startupTaint, effect: 'NoExecute' };
  const lifted: string[] = [];
  const register = (node: string): void => {
    server.apply('/api/v1/nodes', { metadata: { name: node, uid: node }, spec: { taints: [taint] } });
    server.apply('/api/v1/pods', {
      metadata: { namespace: 'weft-system', name: `agent-${node}`, uid: `agent-${node}` },
      spec: { nodeName: node, serviceAccountName: 'weft-agent', hostNetwork: true, containers: [] },
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] },
    });
    server.handlers.set(`/api/v1/nodes/${node}`, () => {
      lifted.push(node);
      server.apply('/api/v1/nodes', { metadata: { name: node, uid: node }, spec: { taints: [] } });
      return { status: 200, body: {} };
    });
  };
  register('n1');
  const replicas = [await runInCluster(t, url), await runInCluster(t, url)] as const;
  const logs = (): string => replicas.map(({ log }) => log()).join('\n');
  const roles = async (): Promise<string> => (await Promise.all(replicas.map(isLeader))).map(String).sort().join();
  await until(async () => (await roles()) === 'false,true', logs);
  await until(() => Promise.resolve(lifted.length > 0), logs);
  for (const { admin } of replicas) assert.equal(await statusOf(`${admin}/ready`), 200);
  const leader = (await isLeader(replicas[0])) === true ? replicas[0] : replicas[1];
  const other = leader === replicas[0] ? replicas[1] : replicas[0];
  assert.match(leader.log(), /"this replica leads"/);
  leader.process.kill('SIGTERM');
  const [code] = (await once(leader.process, 'exit')) as [number | null];
  assert.equal(code, 0);
  assert.equal(lease.writes.at(-1), '', 'it was given up');
  register('n2');
  await until(async () => (await isLeader(other)) === true, logs, 6000);
  await until(() => Promise.resolve(lifted.length > 1), logs);
  assert.deepEqual(lifted, ['n1', 'n2']);
});

test('what is missing is said', async (t) => {
  scratch.write('empty', '{}');
  for (const [flags, text] of [
    [[], 'either --kubernetes or --manifests is required'],
    [['--kubernetes', '--manifests', scratch.folder], 'either --kubernetes or --manifests is required'],
    [['--manifests', scratch.folder, '--kubeconfig', 'x'], '--kubeconfig goes with --kubernetes'],
    [['--kubernetes'], '--kubeconfig is needed'],
    [['--kubernetes', '--kubeconfig', join(scratch.folder, 'none')], 'no such file'],
    [['--kubernetes', '--kubeconfig', join(scratch.folder, 'empty')], 'no cluster'],
  ] as const) {
    const controller = run(t, [0, 0], ...flags);
    const [code] = (await once(controller.process, 'exit')) as [number | null];
    assert.equal(code, 2, controller.log());
    assert.ok(controller.log().includes(text), controller.log());
  }
});
