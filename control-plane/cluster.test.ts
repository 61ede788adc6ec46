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

import { OpenSsl } from './identity/test-identity.ts';
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
  scratch.write(
    'kubeconfig',
    JSON.stringify({
      ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'test' },
      clusters: [{ name: 'test', cluster: { server: url.href, 'certificate-authority': 'local.crt' } }],
      users: [{ name: 'test', user: { token: 'secret' } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    }),
  );
  const ports = [await freePort(), await freePort()] as const;
  const controller = run(t, ports, '--kubernetes', '--kubeconfig', join(scratch.folder, 'kubeconfig'));
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
