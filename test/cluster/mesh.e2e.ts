import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { parseExposition } from '../../admin/test-exposition.ts';
import { Cluster } from './cluster.ts';
import { imageNames } from './images.ts';
import type { LogLine } from './mesh.ts';
import { ProcessMesh } from './mesh.ts';
import { app, appPort } from './objects.ts';
import { teardown } from './teardown.ts';
import { Wiretap, isPlaintext } from './wiretap.ts';
import { Workloads, curl, underLoad } from './workloads.ts';

const name = 'mesh';
const namespace = 'shop';
const label = ['label', 'namespace', namespace, '--overwrite'];
const joinDeadlineMs = 3000;
const adminPort = 4191;

suite('the mesh on a real cluster', () => {
  let cluster: Cluster;
  let mesh: ProcessMesh;
  let shop: Workloads;

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name });
    mesh = new ProcessMesh(cluster);
    shop = new Workloads(cluster, namespace);
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
    await cluster.apply([...app({ name: 'web', namespace, replicas: 18 }), ...app({ name: 'client', namespace })]);
    await shop.rollout('web', 'client');
    await mesh.up();
  });

  after(async () => {
    await teardown(name);
  });

  function podEvents(matches: (line: LogLine) => boolean): Set<unknown> {
    const lines = cluster.nodes.flatMap((node) => mesh.agentLines(node));
    return new Set(lines.filter(matches).map((line) => line['pod']));
  }

  async function until(what: string, deadlineMs: number, holds: () => boolean): Promise<number> {
    const started = performance.now();
    while (!holds()) {
      if (performance.now() - started > 10 * deadlineMs) assert.fail(`${what}: not after ${10 * deadlineMs} ms`);
      await delay(10);
    }
    return Math.round(performance.now() - started);
  }

  async function restarts(): Promise<number> {
    const pods = [...(await shop.podsOf('web')), ...(await shop.podsOf('client'))];
    return pods.flatMap(({ status }) => status.containerStatuses ?? []).reduce((sum, one) => sum + one.restartCount, 0);
  }

  /** @returns how many requests there were; none may fail */
  async function withoutFailure(happen: () => Promise<void>): Promise<number> {
    const { requests, failures } = await underLoad(shop, 'client', 'http://web/', happen);
    assert.deepEqual(failures, []);
    return requests;
  }

  test('without a label nothing changes', async () => {
    assert.ok(await isPlaintext(shop, 'web'));
  });

  test('a label takes 20 running pods in, under load, and nobody notices', async (t) => {
    const joined = () => podEvents(({ msg }) => msg === 'running pod joined the mesh');
    let took = 0;
    const requests = await withoutFailure(async () => {
      await shop.cluster.kubectl([...label, 'weft.dev/mesh=enabled']);
      took = await until('20 pods join', joinDeadlineMs, () => joined().size === 20);
    });
    t.diagnostic(`20 pods joined in ${took} ms; ${requests} requests around it, none failed`);
    assert.ok(took <= joinDeadlineMs, `${took} ms`);
    assert.equal(await restarts(), 0);
    assert.equal(await isPlaintext(shop, 'web'), false);
  });

  test('metrics name the Deployments at both ends of a request', async () => {
    const [client] = await shop.podsOf('client');
    assert.ok(client);
    await shop.exec(client, [...curl, 'http://web/']);
    const { machine } = cluster.node(client.spec.nodeName);
    const exposition = await machine.run([...curl, `http://127.0.0.1:${adminPort}/metrics`]);
    const { samples } = parseExposition(exposition.stdout, 'text');
    const counted = samples.filter(({ name: family, labels }) => {
      return family === 'request_total' && labels['direction'] === 'outbound' && labels['dst_service'] === 'web';
    });
    assert.notEqual(counted.length, 0);
    const hash = /^web-([a-z0-9]+)-/;
    for (const { labels } of counted) {
      assert.equal(labels['deployment'], 'client');
      assert.equal(labels['dst_deployment'], 'web');
      assert.equal(labels['dst_pod_template_hash'], hash.exec(labels['dst_pod'] ?? '')?.[1]);
    }
  });

  test('a new pod is in the mesh from its first packet on, its init containers included', async () => {
    const [node] = cluster.nodes;
    assert.ok(node);
    const target = (await shop.podsOf('web')).find(({ spec }) => spec.nodeName !== node.name);
    assert.ok(target);
    const marker = `init-${performance.now()}`;
    const tap = await Wiretap.start(cluster);
    const request = [...curl, `http://${target.status.podIP}:${appPort}/?${marker}`];
    const image = { image: imageNames.tools, imagePullPolicy: 'Never' };
    await cluster.apply([
      {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'newcomer', namespace },
        spec: {
          nodeName: node.name,
          restartPolicy: 'Never',
          initContainers: [{ name: 'init', ...image, command: request }],
          containers: [{ name: 'main', ...image, command: request }],
        },
      },
    ]);
    await shop.kubectl('wait', '--for=jsonpath={.status.phase}=Succeeded', 'pod/newcomer', '--timeout=60s');
    for (const container of ['init', 'main']) {
      const answer = await shop.kubectl('logs', 'newcomer', '-c', container);
      assert.equal(answer.trim(), target.metadata.name);
    }
    const packets = await tap.stop();
    assert.equal(packets.contains(marker), false);
    assert.ok(podEvents(({ msg }) => msg === 'new pod joined the mesh').has('newcomer'));
  });

  test('a Deployment is rolled out under load, and no request fails', async (t) => {
    const requests = await withoutFailure(async () => {
      await shop.kubectl('rollout', 'restart', 'deployment/web');
      await shop.rollout('web');
    });
    t.diagnostic(`${requests} requests, none failed`);
  });

  test('taking the label away takes all pods out, under load, and nobody notices', async (t) => {
    const left = () => podEvents(({ reason }) => reason === 'it is not to be meshed any more');
    let took = 0;
    const requests = await withoutFailure(async () => {
      await shop.cluster.kubectl([...label, 'weft.dev/mesh-']);
      took = await until('20 pods leave', joinDeadlineMs, () => left().size === 20);
    });
    t.diagnostic(`20 pods left in ${took} ms; ${requests} requests around it, none failed`);
    assert.ok(took <= joinDeadlineMs, `${took} ms`);
    assert.equal(await restarts(), 0);
    assert.ok(await isPlaintext(shop, 'web'));
  });
});
