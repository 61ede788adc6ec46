import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import { residentBytes } from '../bench/processes.ts';
import { must, run } from '../lab/command.ts';
import { processesBelow } from './cgroups.ts';
import { Cluster } from './cluster.ts';
import { apiServer, clusterCgroup, clusterFolder } from './layout.ts';
import { app, appPort } from './objects.ts';
import { leftovers, teardown } from './teardown.ts';
import type { Pod } from './workloads.ts';
import { Workloads, curl } from './workloads.ts';

const name = 'smoke';
const hostPort = 8099;
suite('a real cluster', () => {
  let cluster: Cluster;
  let pods: Workloads;
  const steps: string[] = [];

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name, onStep: (step, ms) => steps.push(`${step} after ${ms} ms`) });
    await cluster.apply(app({ name: 'web', replicas: 4, service: { type: 'NodePort' } }));
    await cluster.apply(app({ name: 'porter', replicas: 2, hostPort }));
    pods = new Workloads(cluster);
    await pods.rollout('web', 'porter');
  });

  after(async () => {
    await teardown(name);
  });

  /** Who answers, asked often enough that everybody had a chance. */
  async function answersTo(pod: Pod, url: string, times = 40): Promise<Set<string>> {
    const each = Array.from({ length: times }, () => `${curl.join(' ')} ${url} || true`).join('\n');
    return new Set((await pods.exec(pod, ['sh', '-c', each])).split('\n').filter(Boolean));
  }

  test('starts, and says how long it took', async (t) => {
    for (const step of steps) t.diagnostic(step);
    const nodes = await cluster.kubectl(['get', 'nodes', '--no-headers']);
    assert.equal(nodes.match(/ Ready .* v1\.36\.1/g)?.length, 2, nodes);
    for (const machine of [cluster.controlPlane.machine, ...cluster.nodes.map((node) => node.machine)]) {
      for (const program of programs) {
        for (const pid of machine.pidsOf(program))
          t.diagnostic(`${machine.name} ${program}: ${Math.round(residentBytes([pid]) / 1e6)} MB`);
      }
    }
  });

  test('a Service leads from each node to all pods, the one that asks included', async () => {
    const all = (await pods.podsOf('web')).map((pod) => pod.metadata.name).sort();
    for (const pod of await pods.onePodPerNode('web')) {
      const deadline = performance.now() + 10_000;
      for (;;) {
        const answers = [...(await answersTo(pod, 'http://web'))].sort();
        if (isDeepStrictEqual(answers, all)) break;
        assert.ok(performance.now() < deadline, `from ${pod.spec.nodeName}: ${answers.join(' ')}`);
      }
    }
  });

  test('pods reach each other by address, and see the address of who asks', async () => {
    const [first, second] = await pods.onePodPerNode('web');
    assert.ok(first && second);
    assert.equal((await pods.exec(first, [...curl, `${second.status.podIP}:${appPort}`])).trim(), second.metadata.name);
    const log = await cluster.kubectl(['logs', second.metadata.name, '--tail=50']);
    assert.ok(log.includes(`[::ffff:${first.status.podIP}]`), log);
  });

  test('NodePort and hostPort answer at the addresses of both nodes', async () => {
    const port = await cluster.kubectl(['get', 'service', 'web', '-o', 'jsonpath={.spec.ports[0].nodePort}']);
    const porters = await pods.podsOf('porter');
    for (const node of cluster.nodes) {
      const answer = await cluster.run([...curl, `http://${node.address}:${port}/`]);
      assert.match(answer.stdout, /^web-/, answer.stderr);
      const porter = porters.find(({ spec }) => spec.nodeName === node.name);
      const direct = await cluster.run([...curl, `http://${node.address}:${hostPort}/`]);
      assert.equal(direct.stdout.trim(), porter?.metadata.name, direct.stderr);
    }
  });

  test('DNS knows the cluster, and that there is nothing else', async () => {
    for (const pod of await pods.onePodPerNode('web')) {
      const found = await pods.exec(pod, ['nslookup', 'kubernetes.default.svc.cluster.local']);
      assert.match(found, /Address: 10\.96\.0\.1\b/);
      const outside = await pods.tryIn(pod, ['nslookup', 'example.com.']);
      assert.match(outside.stdout, /NXDOMAIN/);
    }
  });

  test("a pod's token is good for the API server", async () => {
    const [pod] = await pods.onePodPerNode('web');
    assert.ok(pod);
    const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
    const ask = `curl -sS --max-time 5 --cacert ${folder}/ca.crt -H "Authorization: Bearer $(cat ${folder}/token)"`;
    const answer = await pods.exec(pod, ['sh', '-c', `${ask} https://kubernetes.default.svc/api/v1/nodes`]);
    assert.match(answer, /system:serviceaccount:default:default.* cannot list/);
  });

  test('a node whose plug was pulled comes back with its pods', async (t) => {
    const [node] = cluster.nodes;
    assert.ok(node);
    const started = performance.now();
    await cluster.reboot(node);
    for (;;) {
      const pod = await pods.podOn(node, 'web');
      const { stdout } = await pods.tryIn(pod, [...curl, 'http://web']);
      if (stdout.startsWith('web-')) break;
      assert.ok(performance.now() - started < 120_000, 'its pods do not come back');
      await delay(200);
    }
    t.diagnostic(`pods of the node serve again ${Math.round(performance.now() - started)} ms after`);
  });

  test('teardown leaves nothing', async (t) => {
    const pids = processesBelow(clusterCgroup(name));
    const processes = new Map(pids.map((pid) => [pid, identity(pid)]));
    assert.ok(processes.size > 20, 'three machines with their daemons, and six pods');
    const started = performance.now();
    await cluster.down();
    t.diagnostic(`took ${Math.round(performance.now() - started)} ms`);
    assert.deepEqual(leftovers(name), []);
    const mounts = readFileSync('/proc/mounts', 'utf8');
    assert.ok(!mounts.includes(clusterFolder(name)) && !mounts.includes('/run/netns/cni-'), mounts);
    const alive = pids.filter((pid) => identity(pid) !== undefined && identity(pid) === processes.get(pid));
    assert.deepEqual(alive, []);
    assert.ok(!existsSync('/usr/libexec/kubernetes'));
    assert.ok(!must('ip', '-o', 'addr').includes(apiServer.address));
  });

  test('what a killed command has begun, the next one takes down', async () => {
    const command = new URL('main.ts', import.meta.url).pathname;
    for (const ms of [0, 1000, 4000]) {
      const child = spawn(process.execPath, [command, 'up', '--name', name], { stdio: 'ignore' });
      const deadline = performance.now() + 20_000;
      while (leftovers(name).length === 0 && performance.now() < deadline) await delay(10);
      await delay(ms);
      child.kill('SIGKILL');
      assert.notDeepEqual(leftovers(name), [], 'it had not begun');
      const { code, stderr } = await run([process.execPath, command, 'down', '--name', name], { timeoutMs: 60_000 });
      assert.equal(code, 0, stderr);
      assert.deepEqual(leftovers(name), []);
    }
  });
});

const programs = [
  'etcd',
  'kube-apiserver',
  'kube-controller-manager',
  'kube-scheduler',
  'containerd',
  'kubelet',
  'kube-proxy',
  'coredns',
];

/** A pid alone may be somebody else's later. Undefined for one that has ended, and only waits for its parent to know. */
function identity(pid: number): string | undefined {
  try {
    const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
    const fields = rest.split(' ');
    return fields[0] === 'Z' ? undefined : `${pid} started at ${fields[19] ?? ''}`;
  } catch {
    return undefined;
  }
}
