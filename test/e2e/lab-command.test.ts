import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';

import type { CommandResult } from '../lab/command.ts';
import { run } from '../lab/command.ts';
import { labFolder } from '../lab/layout.ts';
import { leftovers } from '../lab/teardown.ts';
import { waitUntil } from './helpers.ts';

const script = new URL('../lab/main.ts', import.meta.url).pathname;
const holder = new URL('../lab/holder.ts', import.meta.url).pathname;
const name = `c${process.pid}`;

const cluster = `
kind: Lab
nodes:
  - name: one
  - name: two
  - name: three
    agent: false
controller: one
agentFlags: [--log-connections]
---
apiVersion: v1
kind: Namespace
metadata:
  name: shop
  labels: { weft.dev/mesh: enabled }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: shop, labels: { app: web } }
spec:
  nodeName: two
  serviceAccountName: web
  containers:
    - name: main
      command: [/usr/bin/python3, -m, http.server, '8080', --directory, /usr/share, --bind, '::']
      ports: [{ name: http, containerPort: 8080 }]
---
apiVersion: v1
kind: Service
metadata: { name: web, namespace: shop }
spec:
  selector: { app: web }
  clusterIP: 10.96.0.80
  ports: [{ port: 80, targetPort: http }]
---
apiVersion: v1
kind: Pod
metadata: { name: client, namespace: shop }
spec:
  nodeName: one
  containers: [{ name: main }]
---
apiVersion: v1
kind: Pod
metadata: { name: outsider, namespace: legacy }
spec:
  nodeName: three
  containers: [{ name: main }]
`;

describe('lab command', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weft-lab-command-'));
  const file = join(folder, 'cluster.yaml');
  writeFileSync(file, cluster);

  after(async () => {
    await lab('down');
    rmSync(folder, { recursive: true });
  });

  function lab(...args: string[]): Promise<CommandResult> {
    const [verb = '', ...rest] = args;
    return run([process.execPath, script, verb, '--name', name, ...rest], { timeoutMs: 60_000 });
  }

  async function up(): Promise<void> {
    const { code, stdout, stderr } = await lab('up', file);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^two {2}shop\/web {2}10\.244\.1\.2 {2}fd44:1::2$/m);
  }

  function curl(pod: string, url: string): Promise<CommandResult> {
    return lab('exec', pod, '--', 'curl', '-gs', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', url);
  }

  function log(): string {
    return readFileSync(join(labFolder(name), 'lab.log'), 'utf8');
  }

  async function nothingIsLeft(): Promise<void> {
    await waitUntil(() => processes().length === 0, 10_000, `all processes are gone: ${processes().join(', ')}`);
    await waitUntil(() => leftovers(name).length === 0, 10_000, `nothing is left: ${leftovers(name).join(', ')}`);
  }

  test('pods of two nodes talk through the mesh; exec is transparent', async () => {
    await up();
    await waitUntil(async () => (await curl('client', 'http://10.244.1.2:8080/')).stdout === '200', 5000, 'web serves');
    assert.equal((await curl('client', 'http://[fd44:1::2]:8080/')).stdout, '200');
    assert.equal((await curl('shop/client', 'http://10.96.0.80/')).stdout, '200');
    assert.equal((await curl('outsider', 'http://10.244.1.2:8080/')).stdout, '200');
    await waitUntil(() => /"outbound".*"destination":"10\.96\.0\.80:80"/.test(log()), 5000, 'the log has the service');
    assert.match(log(), /"direction":"inbound".*"pod":"shop\/web".*"reason":"tunnel"/);
    assert.equal((await lab('exec', 'client', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7')).code, 7);
    const missing = await lab('exec', 'nobody', '--', 'true');
    assert.deepEqual([missing.code, missing.stderr], [1, 'lab: the lab has no pod nobody\n']);
  });

  test('a lab of the same name is refused, and goes on', async () => {
    const { code, stderr } = await lab('up', file);
    assert.equal(code, 1);
    assert.match(stderr, /a lab "c\d+" is there/);
    assert.equal((await curl('client', 'http://10.244.1.2:8080/')).stdout, '200');
  });

  test('down leaves nothing, not even of a command that runs', async () => {
    const running = lab('exec', 'client', '--', 'sleep', '50');
    await waitUntil(() => processes().some((line) => line.includes('sleep 50')), 5000, 'the command runs');
    const { code, stderr } = await lab('down');
    assert.equal(code, 0, stderr);
    assert.equal((await running).code, 128 + 9);
    await nothingIsLeft();
    assert.equal((await lab('down')).code, 0, 'nothing to take down is no error');
  });

  test('kill -9 of the lab: the watchdog takes it down', async () => {
    await up();
    process.kill(holderPid(), 'SIGKILL');
    await nothingIsLeft();
  });

  test('kill -9 of the lab and of its watchdog: down does', async () => {
    await up();
    const watchdog = processes().find((line) => line.includes('watchdog.ts'));
    process.kill(Number(watchdog?.split(' ')[0]), 'SIGKILL');
    process.kill(holderPid(), 'SIGKILL');
    assert.notDeepEqual(leftovers(name), []);
    assert.equal((await lab('down')).code, 0);
    await nothingIsLeft();
  });

  test('kill -9 of `up` half way', async () => {
    const { code } = await run([process.execPath, script, 'up', file, '--name', name], { timeoutMs: 900 });
    assert.equal(code, 124);
    await nothingIsLeft();
  });

  test('a node without a working agent: the reason is told, and nothing is left', async () => {
    const bad = join(folder, 'bad-flag.yaml');
    writeFileSync(bad, cluster.replace('--log-connections', '--no-such-flag'));
    const { code, stderr } = await lab('up', bad);
    assert.equal(code, 1);
    assert.match(stderr, /the lab cannot be set up: the agent ended:.*--no-such-flag/s);
    await nothingIsLeft();
  });

  for (const [what, change, expected] of [
    [
      'a node that is not there',
      ['nodeName: two', 'nodeName: four'],
      /:21: spec\.nodeName: the lab has no node "four"/,
    ],
    [
      'a field of another type',
      ['containerPort: 8080', 'containerPort: http'],
      /:26: spec\.containers\[0\]\.ports\[0\]/,
    ],
    ['a field that is not there', ['agentFlags', 'agentFlag'], /:9: agentFlag is no field of a Lab/],
    ['a kind that means nothing', ['kind: Service', 'kind: Ingress'], /:29: kind: Ingress means nothing to a lab/],
    [
      'a command that is no list',
      ["[/usr/bin/python3, -m, http.server, '8080', --directory, /usr/share, --bind, '::']", 'sh'],
      /:25: spec\.containers\[0\]\.command must be a list/,
    ],
    ['no YAML', ['labels: {', 'labels: ['], /:15: /],
  ] as const) {
    test(`${what}: file, line and field are named`, async () => {
      const bad = join(folder, 'bad.yaml');
      writeFileSync(bad, cluster.replace(change[0], change[1]));
      const { code, stderr } = await lab('up', bad);
      assert.equal(code, 2);
      assert.match(stderr, /^lab: .*bad\.yaml:\d+: /);
      assert.match(stderr, expected);
      assert.deepEqual(leftovers(name), []);
    });
  }

  /** Of the lab, by what they were called with or where they run. */
  function processes(): string[] {
    return readdirSync('/proc')
      .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
      .flatMap((pid) => {
        const command = readOr(`/proc/${pid}/cmdline`).replaceAll('\0', ' ');
        const isOurs =
          readOr(`/proc/${pid}/cgroup`).includes(`/weft-lab-${name}/`) ||
          (command.includes('/test/lab/') && command.includes(` ${name} `) && !command.includes(script));
        return isOurs ? [`${pid} ${command}`] : [];
      });
  }

  function holderPid(): number {
    const line = processes().find((candidate) => candidate.includes(holder));
    assert.ok(line);
    return Number(line.split(' ')[0]);
  }
});

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
