/** Weft from its image, by its charts, with its command, as docs/getting-started.md says; what happens to it then; and away again. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Cluster } from './cluster.ts';
import { Installation, chart, chartBefore, chartValues, weftNamespace } from './installation.ts';
import { machineCgroup } from './machine.ts';
import { app } from './objects.ts';
import { teardown } from './teardown.ts';
import {
  assertNothingFailed,
  assertOnlyOpenBroke,
  longKinds,
  shortKinds,
  trafficApps,
  underTraffic,
} from './traffic.ts';
import { isMarked, tracesOf } from './traces.ts';
import { Wiretap, isPlaintext } from './wiretap.ts';
import type { LoadResult } from './workloads.ts';
import { Workloads, curl, underLoad } from './workloads.ts';

const name = 'install';
const namespace = 'shop';
const podCount = 20;
const trafficPods = 6;
/** Of terminationGracePeriodSeconds, what is open has all but the last 10 s; a new agent is there before that begins. */
const openLastsMs = 30_000;
const endsDeadlineMs = 90_000;
/** Until SYNs have been sent again that met no agent. */
const settleMs = 8000;
const joinDeadlineMs = 3000;
const installDeadlineMs = 60_000;
const patienceMs = 60_000;

suite('Weft installed on a real cluster', () => {
  let cluster: Cluster;
  let weft: Installation;
  let shop: Workloads;
  /** Files that network plugins share, by node, before Weft came. */
  let filesBefore: string[];

  const folder = mkdtempSync(join(tmpdir(), 'weft-install-'));

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name });
    weft = new Installation(cluster);
    shop = new Workloads(cluster, namespace);
    await weft.loadImage();
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
    const replicas = podCount - trafficPods - 2;
    const apps = [...app({ name: 'web', namespace, replicas }), ...app({ name: 'client', namespace })];
    await cluster.apply([...apps, ...trafficApps(namespace)]);
    await shop.rollout('web', 'client', 'traffic-server', 'traffic-client');
    filesBefore = await files();
  });

  after(async () => {
    rmSync(folder, { recursive: true, force: true });
    await teardown(name);
  });

  function files(): Promise<string[]> {
    return Promise.all(cluster.nodes.map(async (node) => (await tracesOf(node, machineCgroup)).files));
  }

  async function nothingLeft(): Promise<void> {
    for (const node of cluster.nodes) {
      const { network, programs, cgroups } = await tracesOf(node, machineCgroup);
      for (const text of [network, programs, cgroups])
        assert.deepEqual(text.split('\n').filter(isMarked), [], node.name);
    }
    assert.deepEqual(await files(), filesBefore);
  }

  async function restarts(): Promise<number> {
    const apps = await Promise.all(
      ['web', 'client', 'traffic-server', 'traffic-client'].map((app) => shop.podsOf(app)),
    );
    return apps
      .flat()
      .flatMap(({ status }) => status.containerStatuses ?? [])
      .reduce((sum, one) => sum + one.restartCount, 0);
  }

  async function load(t: TestContext, what: string, happen: () => Promise<void>): Promise<LoadResult> {
    const started = performance.now();
    const result = await underLoad(shop, 'client', 'http://web/', happen);
    const took = Math.round(performance.now() - started);
    const { requests, failures } = result;
    t.diagnostic(`${what}: ${requests} requests in ${took} ms, ${failures.length} failed ${failures.join('; ')}`);
    return result;
  }

  async function setLabel(label: string): Promise<void> {
    await cluster.kubectl(['label', 'namespace', namespace, '--overwrite', label]);
  }

  test('weft check --pre is green', async () => {
    assert.match(await weft.weft('check', '--pre'), /Status check results are √/);
  });

  test('weft install | kubectl apply -f - installs it, and weft check is green', async (t) => {
    const started = performance.now();
    const crds = await weft.weft('install', '--crds');
    if (crds !== '') await cluster.kubectl(['apply', '--server-side', '-f', '-'], { input: crds });
    await weft.apply('install', ...chartValues);
    await weft.rolledOut();
    const took = Math.round(performance.now() - started);
    assert.match(await weft.weft('check'), /Status check results are √/);
    t.diagnostic(`ready after ${took} ms, found to be so after ${Math.round(performance.now() - started)} ms`);
    assert.ok(took < installDeadlineMs);
    assert.ok(await isPlaintext(shop, 'web'));
  });

  test('the token of an agent can do nothing on the API server', async () => {
    const account = `system:serviceaccount:${weftNamespace}:weft-agent`;
    const rights = await cluster.kubectl(['auth', 'can-i', '--list', '--no-headers', `--as=${account}`]);
    for (const right of rights.split('\n').filter((line) => line !== '' && !line.startsWith(' ')))
      assert.match(right, /^selfsubject\w+\./, 'what everybody may ask of himself');
    const node = cluster.nodes[0];
    assert.ok(node);
    const { spec } = JSON.parse(
      await cluster.kubectl(['get', 'pod', '-n', weftNamespace, await weft.agentPod(node), '-o', 'json']),
    ) as { spec: { volumes: { name: string; projected?: { sources: unknown[] } }[] } };
    const projected = spec.volumes.flatMap((volume) => volume.projected?.sources ?? []);
    assert.deepEqual(projected, [
      { serviceAccountToken: { audience: 'weft.dev', expirationSeconds: 3600, path: 'token' } },
    ]);
  });

  test(`a label takes ${podCount} running pods in, under load, and nobody notices`, async (t) => {
    let took = 0;
    const { failures } = await load(t, 'labelled', async () => {
      await setLabel('weft.dev/mesh=enabled');
      took = await weft.untilCaptured(podCount, 10 * joinDeadlineMs);
    });
    t.diagnostic(`${podCount} pods joined in ${took} ms`);
    assert.deepEqual(failures, []);
    assert.ok(took <= joinDeadlineMs, `${took} ms`);
    assert.equal(await restarts(), 0);
    assert.equal(await isPlaintext(shop, 'web'), false);
    assert.match(await weft.weft('check', '-o', 'short'), /Status check results are √/);
    assert.match(await weft.weft('version', '--proxy'), /\(2 nodes\)/);
    assert.match(await weft.weft('diagnostics', 'agent-ready'), /ready/);
  });

  test('a Deployment is rolled out under load: new pods are in the mesh, and no request fails', async (t) => {
    const { failures } = await load(t, 'app rolled out', async () => {
      await shop.kubectl('rollout', 'restart', 'deployment/web');
      await shop.rollout('web');
    });
    assert.deepEqual(failures, []);
    await weft.untilCaptured(podCount, patienceMs);
    assert.equal(await isPlaintext(shop, 'web'), false);
  });

  test('the Deployment of the controller is rolled out under load, and nothing fails', async (t) => {
    const traffic = await underTraffic(shop, async () => {
      await cluster.kubectl(['rollout', 'restart', '-n', weftNamespace, 'deployment/weft-controller']);
      await weft.rolledOut();
    });
    traffic.report(t, 'controller rolled out');
    assertNothingFailed(traffic);
  });

  test('the DaemonSet is rolled out under load: nothing fails, but what is open has to end in time', async (t) => {
    const startedAt = Date.now();
    const traffic = await underTraffic(shop, async () => {
      const earlier = cluster.nodes.flatMap((node) => weft.workerPids(node));
      await cluster.kubectl(['rollout', 'restart', '-n', weftNamespace, 'daemonset/weft-agent']);
      await weft.rolledOut();
      t.diagnostic(`rolled out after ${Date.now() - startedAt} ms`);
      await weft.untilEnded(earlier, endsDeadlineMs);
      t.diagnostic(`earlier agents had ended after ${Date.now() - startedAt} ms`);
    });
    traffic.report(t, 'DaemonSet rolled out');
    assert.deepEqual(traffic.failures(...shortKinds), []);
    const lasted = traffic.failures(...longKinds).map(({ at, lastedMs }) => at + lastedMs - startedAt);
    t.diagnostic(`what was open broke ${lasted.join(', ')} ms after the beginning`);
    assert.ok(Math.min(...lasted) >= openLastsMs);
    await weft.untilCaptured(podCount, patienceMs);
    assert.equal(await isPlaintext(shop, 'web'), false);
  });

  test('the pod of an agent is deleted without grace: only what was open breaks', async (t) => {
    const [node] = cluster.nodes;
    assert.ok(node);
    let endedAt = 0;
    const traffic = await underTraffic(shop, async () => {
      const pod = await weft.agentPod(node);
      const ended = weft.untilEnded(weft.workerPids(node), patienceMs).then(() => (endedAt = Date.now()));
      await cluster.kubectl(['delete', 'pod', '-n', weftNamespace, pod, '--grace-period=0', '--force']);
      await ended;
      await weft.rolledOut();
      t.diagnostic(`another is ready ${Date.now() - endedAt} ms after the end of the first`);
      await delay(settleMs);
    });
    traffic.report(t, 'agent deleted');
    assertOnlyOpenBroke(traffic, endedAt);
    assert.equal(await isPlaintext(shop, 'web'), false);
  });

  test("a node's plug is pulled: it comes back meshed, and nothing is plaintext in between", async (t) => {
    const [node] = cluster.nodes;
    assert.ok(node);
    const tap = await Wiretap.start(cluster);
    const started = performance.now();
    await cluster.reboot(node);
    for (const pod of await shop.onePodPerNode('client'))
      while ((await shop.tryIn(pod, [...curl, 'http://web/'])).code !== 0)
        assert.ok(performance.now() - started < patienceMs, `${pod.metadata.name} is not served`);
    t.diagnostic(`both nodes are served ${Math.round(performance.now() - started)} ms after`);
    await shop.rollout('web', 'client', 'traffic-server', 'traffic-client');
    await weft.rolledOut();
    await weft.untilCaptured(podCount, patienceMs);
    const { failures } = await load(t, 'after the reboot', () => delay(2000));
    assert.deepEqual(failures, []);
    const packets = await tap.stop();
    assert.ok(packets.size > 1000);
    assert.equal(packets.contains('Host: web'), false);
  });

  test('taking the label away takes all pods out, under load, and nobody notices', async (t) => {
    let took = 0;
    const before = await restarts();
    const { failures } = await load(t, 'label taken away', async () => {
      await setLabel('weft.dev/mesh-');
      took = await weft.untilCaptured(0, 10 * joinDeadlineMs);
    });
    t.diagnostic(`${podCount} pods left in ${took} ms`);
    assert.deepEqual(failures, []);
    assert.ok(took <= joinDeadlineMs, `${took} ms`);
    assert.equal(await restarts(), before);
    assert.ok(await isPlaintext(shop, 'web'));
  });

  test('weft uninstall waits for the nodes, and leaves nothing on them', async () => {
    const early = await weft.tryWeft('uninstall');
    assert.match(early.stderr, /WEFT-E408/);
    await weft.apply('upgrade', '--set', 'uninstall=true');
    await weft.rolledOut();
    await cluster.kubectl(['delete', '-f', '-'], { input: await weft.weft('uninstall') });
    await nothingLeft();
    assert.equal((await weft.tryWeft('check', '--pre')).code, 0);
  });

  test('helm install of the chart before this one, helm upgrade and helm uninstall, with pods in the mesh: the same', async (t) => {
    await weft.helm('install', 'weft', chartBefore(folder), '--create-namespace', '--wait', ...chartValues);
    await setLabel('weft.dev/mesh=enabled');
    await weft.untilCaptured(podCount, patienceMs);
    const upgraded = await load(t, 'helm upgrade', async () => {
      await weft.helm('upgrade', 'weft', chart, '--wait', ...chartValues);
    });
    assert.deepEqual(upgraded.failures, []);
    await weft.untilCaptured(podCount, patienceMs);
    const startedAt = Date.now();
    const traffic = await underTraffic(shop, async () => {
      await weft.helm('uninstall', 'weft', '--wait');
      t.diagnostic(`uninstalled after ${Date.now() - startedAt} ms`);
    });
    traffic.report(t, 'helm uninstall');
    assert.deepEqual(traffic.failures(...shortKinds), []);
    const lasted = traffic.failures(...longKinds).map(({ at, lastedMs }) => at + lastedMs - startedAt);
    assert.ok(Math.min(...lasted) >= openLastsMs, `what was open broke ${lasted.join(', ')} ms after the beginning`);
    await nothingLeft();
    const rest = await cluster.kubectl(['get', 'all,roles,rolebindings,secrets', '-n', weftNamespace, '-o', 'name']);
    assert.equal(rest, '');
    assert.ok(await isPlaintext(shop, 'web'));
  });
});
