import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Cluster } from './cluster.ts';
import type { LogLine } from './mesh.ts';
import { ProcessMesh } from './mesh.ts';
import { app } from './objects.ts';
import { teardown } from './teardown.ts';
import { assertNothingFailed, assertOnlyOpenBroke, trafficApps, underTraffic } from './traffic.ts';
import { Wiretap, isPlaintext } from './wiretap.ts';
import type { Pod } from './workloads.ts';
import { Workloads, curl, underLoad } from './workloads.ts';

const name = 'outages';
const namespace = 'shop';
/** Two minutes in soaks. */
const outageMs = process.env['WEFT_E2E_SOAK'] === undefined ? 30_000 : 120_000;
const joinDeadlineMs = 60_000;
/** Until SYNs have been sent again that met no agent. */
const settleMs = 8000;
const apps = ['web', 'client', 'traffic-server', 'traffic-client'];
const joins = new Set(['running pod joined the mesh', 'new pod joined the mesh']);

suite('outages, under load', () => {
  let cluster: Cluster;
  let mesh: ProcessMesh;
  let shop: Workloads;

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name });
    mesh = new ProcessMesh(cluster);
    shop = new Workloads(cluster, namespace);
    const labels = { 'weft.dev/mesh': 'enabled' };
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } }]);
    await mesh.up();
    const web = [...app({ name: 'web', namespace, replicas: 4 }), ...app({ name: 'client', namespace })];
    await cluster.apply([...web, ...trafficApps(namespace)]);
    await shop.rollout(...apps);
    await untilJoined((await pods()).length, 0);
    assert.equal(await isPlaintext(shop, 'web'), false);
  });

  after(async () => {
    await teardown(name);
  });

  async function pods(): Promise<Pod[]> {
    return (await Promise.all(apps.map((name) => shop.podsOf(name)))).flat();
  }

  function joined(): LogLine[] {
    return cluster.nodes.flatMap((node) => mesh.agentLines(node)).filter(({ msg }) => joins.has(msg));
  }

  async function untilJoined(count: number, earlier: number): Promise<void> {
    const deadline = performance.now() + joinDeadlineMs;
    while (joined().length < earlier + count) {
      assert.ok(performance.now() < deadline, `${joined().length - earlier} of ${count} pods joined`);
      await delay(50);
    }
  }

  async function noneFails(t: TestContext, what: string, happen: () => Promise<void>): Promise<void> {
    const traffic = await underTraffic(shop, happen);
    traffic.report(t, what);
    assertNothingFailed(traffic);
    assert.equal(await isPlaintext(shop, 'web'), false);
  }

  test("an agent's main process is killed, and another takes over", async (t) => {
    const [node] = cluster.nodes;
    assert.ok(node);
    await noneFails(t, 'main killed', async () => {
      await mesh.killAgentMain(node);
      await delay(1000);
      await mesh.startAgent(node);
    });
  });

  test('an agent is killed with its workers: only what was open breaks', async (t) => {
    const [node] = cluster.nodes;
    assert.ok(node);
    let endedAt = 0;
    const traffic = await underTraffic(shop, async () => {
      await mesh.killAgent(node);
      endedAt = Date.now();
      await mesh.startAgent(node);
      t.diagnostic(`another is ready after ${Date.now() - endedAt} ms`);
      await delay(settleMs);
    });
    traffic.report(t, 'agent killed');
    assertOnlyOpenBroke(traffic, endedAt);
    assert.equal(await isPlaintext(shop, 'web'), false);
  });

  test(`the controller is gone for ${outageMs / 1000} s`, async (t) => {
    await noneFails(t, 'controller gone', async () => {
      await mesh.killController();
      await delay(outageMs);
      await mesh.startController();
    });
  });

  test(`the API server is gone for ${outageMs / 1000} s`, async (t) => {
    const { controlPlane } = cluster;
    await noneFails(t, 'API server gone', async () => {
      await controlPlane.kill();
      await delay(outageMs);
      controlPlane.startApiServer();
      await controlPlane.waitForApiServer();
      controlPlane.startControllers();
      await delay(15_000); // until all have found back to each other
    });
  });

  test("a node's plug is pulled: it comes back meshed, and nothing is plaintext in between", async (t) => {
    const [node] = cluster.nodes;
    assert.ok(node);
    const onNode = (await pods()).filter(({ spec }) => spec.nodeName === node.name).length;
    const tap = await Wiretap.start(cluster);
    const earlier = joined().length;
    const started = performance.now();
    await cluster.reboot(node);
    await delay(5000); // pods are made before the agent is there, and must wait for it
    await mesh.startAgent(node);
    await untilJoined(onNode, earlier);
    t.diagnostic(`${onNode} pods meshed ${Math.round(performance.now() - started)} ms after`);
    await shop.rollout(...apps);
    // DNS and the node's rules for Services come back in their own time.
    for (const pod of await shop.onePodPerNode('client')) {
      const deadline = performance.now() + joinDeadlineMs;
      while ((await shop.tryIn(pod, [...curl, 'http://web/'])).code !== 0)
        assert.ok(performance.now() < deadline, `${pod.metadata.name} is not served`);
    }
    const { failures, requests } = await underLoad(shop, 'client', 'http://web/', () => delay(2000));
    assert.ok(requests > 0);
    assert.deepEqual(failures, []);
    const packets = await tap.stop();
    assert.ok(packets.size > 1000);
    assert.equal(packets.contains('Host: web'), false);
  });
});
