import assert from 'node:assert/strict';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { PacketCapture } from '../lab/packet-capture.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, echo, greet, hold, say, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';
import { Traffic, failuresOf, trafficServer } from './traffic.ts';

/** How often a pod joins or leaves; with WEFT_SOAK 200 times. */
const changes = process.env['WEFT_SOAK'] === undefined ? 40 : 200;
const greeting = { port: 3333, annotations: { 'config.linkerd.io/opaque-ports': '3333' } };
const datagrams = new URL('../tools/datagrams.py', import.meta.url).pathname;
/** Longer than workers wait for what is on its way to a pod that leaves. */
const drainedMs = 2500;
const settledMs = 500;
const secret = 'both-are-meshed';

describe('joining and leaving', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let server: LabPod;
  let member: LabPod;
  let outsider: LabPod;

  before(async () => {
    mesh = await LabMesh.up();
    const { annotations } = greeting;
    client = await mesh.addMeshed('a', 'client', 'web');
    member = await mesh.addMeshed('a', 'member', 'member');
    server = await mesh.addMeshed('b', 'server', 'api', annotations);
    outsider = await mesh.lab.node('c').addPod({ name: 'outsider', namespace: 'plain' });
    await echo(server, 9000);
    await greet(server, greeting.port);
    for (const pod of [client, member, outsider])
      await pod.run(['sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 60999', 'net.ipv4.tcp_tw_reuse=1']);
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  /** Until it is told to stop; resolves to what failed, by who failed. */
  async function load(signal: AbortSignal): Promise<{ succeeded: number; errors: Record<string, number> }> {
    const sums = { succeeded: 0, errors: {} as Record<string, number> };
    const again = async (pod: LabPod, port: number, how: 'churn' | 'greeted'): Promise<void> => {
      while (!signal.aborted) {
        const { succeeded, errors } = await churn(pod, server.ipv4, port, 100, 16, 50, how);
        sums.succeeded += succeeded;
        for (const [error, count] of Object.entries(errors)) {
          const key = `${pod.spec.name} ${how} ${error}`;
          sums.errors[key] = (sums.errors[key] ?? 0) + count;
        }
      }
    };
    await Promise.all([
      ...[client, member, outsider].flatMap((pod) => [again(pod, 9000, 'churn'), again(pod, greeting.port, 'greeted')]),
    ]);
    return sums;
  }

  const nodeOf = (pod: LabPod): string => pod.node.name;
  const count = (pod: LabPod, ending: string): number =>
    mesh.agent(nodeOf(pod)).lines.filter((line) => line['pod'] === pod.spec.name && line.msg.endsWith(ending)).length;

  /** Resolves when its agent has told it. */
  async function change(pod: LabPod, to: 'joined' | 'left'): Promise<void> {
    const ending = `${to} the mesh`;
    const before = count(pod, ending);
    mesh.lab.objects.setPod(pod, { labels: { 'weft.dev/mesh': to === 'left' ? 'disabled' : 'enabled' } });
    await waitUntil(() => count(pod, ending) > before, 15_000, `${pod.spec.name} has ${to}: ${mesh.troubles()}`);
  }

  test(`${changes} times a pod joins or leaves under load: no connection fails, and in the end none is in plaintext`, async () => {
    const stop = new AbortController();
    const loaded = load(stop.signal);
    try {
      for (let done = 0; done < changes; done += 4) {
        await change(server, 'left');
        await change(client, 'left');
        await change(server, 'joined');
        await change(client, 'joined');
        await delay(Math.random() * 300);
      }
    } finally {
      stop.abort();
    }
    const { succeeded, errors } = await loaded;
    assert.deepEqual(errors, {}, mesh.troubles());
    assert.ok(succeeded > 1000, `only ${succeeded} connections`);

    const link = await PacketCapture.onDevice(mesh.lab.node('a'));
    for (const pod of [client, member]) {
      for (let times = 0; times < 10; times++) {
        assert.equal((await say(pod, server.ipv4, 9000, secret)).answer, secret);
        assert.equal((await say(pod, server.ipv4, greeting.port, '-')).answer, 'g');
      }
    }
    const packets = await link.stop();
    assert.ok(packets.size > 20 * secret.length, 'the connections are seen, though not what they say');
    assert.ok(!packets.contains(secret));
  });

  test('a pod leaves while connections of its node are open to it: they go on', async () => {
    const near = await mesh.addMeshed('a', 'near', 'near');
    await echo(near, 9000);
    const held = await hold(client, near.ipv4, 9000, 4);
    await change(near, 'left');
    await delay(drainedMs);
    assert.deepEqual((await held.finish()).errors, {});
    const rules = async (): Promise<string> =>
      (await near.run(['sh', '-c', 'ip rule; ip route show table all'])).stdout;
    await waitUntil(async () => !(await rules()).includes('169.254.116'), 5000, 'nothing of ours is left in it');
  });

  test('a pod leaves with connections that carry bytes from the first moment on: they go on', async () => {
    const near = await mesh.addMeshed('a', 'talked-to', 'near');
    for (const pod of [near, server]) await trafficServer(pod);
    const talks = await Promise.all(
      [near, server].map((to) => Traffic.start(member, to, 5, 'tcp-kept', 'grpc-stream')),
    );
    await delay(settledMs);
    await change(member, 'left');
    await change(near, 'left');
    await delay(drainedMs);
    for (const result of await Promise.all(talks.map((talk) => talk.stop())))
      assert.deepEqual(failuresOf(result, 'tcp-kept', 'grpc-stream'), [], mesh.troubles());
    await change(member, 'joined');
  });

  test('what is not captured is not touched either: no datagram of a pod is lost as it joins and leaves', async () => {
    const port = 5353;
    const answering = outsider.spawn(['python3', '-u', datagrams, 'answer', String(port)]);
    await once(answering.stdout ?? answering, 'data');
    for (const name of ['first', 'second', 'third']) {
      const pod = await mesh.lab
        .node('a')
        .addPod({ name, namespace: 'shop', labels: { 'weft.dev/mesh': 'disabled' }, serviceAccount: name });
      const asking = pod.spawn(['python3', '-u', datagrams, 'ask', outsider.ipv4, String(port)]);
      assert.ok(asking.stdin && asking.stdout);
      await delay(200);
      await change(pod, 'joined');
      await delay(200);
      await change(pod, 'left');
      asking.stdin.end();
      const told = JSON.parse(await text(asking.stdout)) as { sent: number; lost: number };
      assert.ok(told.sent > 100, `only ${told.sent} were sent`);
      assert.equal(told.lost, 0, JSON.stringify(told));
    }
    answering.kill();
  });
});
