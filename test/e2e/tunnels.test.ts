import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { LabNode } from '../lab/node.ts';
import { PacketCapture } from '../lab/packet-capture.ts';
import type { LabPod } from '../lab/pod.ts';
import { endpointSlices } from '../lab/services.ts';
import type { Said } from './helpers.ts';
import { echo, greet, hold, say, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const workers = 2;
/** --peer-connect-timeout */
const unansweredSeconds = 10;

describe('tunnels', () => {
  let mesh: LabMesh;
  let a: LabNode;
  let b: LabNode;
  let client: LabPod;

  before(async () => {
    mesh = await LabMesh.up();
    [a, b] = [mesh.lab.node('a'), mesh.lab.node('b')];
    client = await mesh.addMeshed('a', 'client', 'web');
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  test("a pod that has its predecessor's address gets nothing that was meant for it", async () => {
    const old = await mesh.addMeshed('b', 'old', 'api');
    await echo(old, 9000);
    assert.equal((await say(client, old.ipv4, 9000, 'first')).error, null);

    // The workers of node a do not hear of what happens; what they know is of the old pod.
    process.kill(mesh.agent('a').pid, 'SIGSTOP');
    const failed: string[] = [];
    let inside: PacketCapture;
    let next: LabPod;
    try {
      await old.delete();
      b.forgetAddresses();
      next = await mesh.addMeshed('b', 'next', 'other');
      assert.equal(next.ipv4, old.ipv4, 'the lab gives the address again');
      await echo(next, 9000);
      inside = await PacketCapture.inside(next);
      for (let count = 0; count < 20; count++) {
        const text = `for-the-old-pod-${count}.`;
        const { answer } = await say(client, next.ipv4, 9000, text, 5);
        assert.equal(answer, '');
        failed.push(text);
      }
    } finally {
      process.kill(mesh.agent('a').pid, 'SIGCONT');
    }
    let count = 0;
    const works = async (): Promise<boolean> => {
      const text = `for-the-new-pod-${count++}.`;
      return (await say(client, next.ipv4, 9000, text, 5)).answer === text;
    };
    await waitUntil(works, 15_000, 'the client reaches the new pod');
    const packets = await inside.stop();
    assert.ok(packets.contains('for-the-new-pod'));
    assert.deepEqual(
      failed.filter((text) => packets.contains(text)),
      [],
    );
    await next.delete();
  });

  test('two pods of one service account on one node share no connection', async () => {
    const second = await mesh.addMeshed('a', 'second', 'web');
    const server = await mesh.addMeshed('b', 'server', 'api');
    await echo(server, 9000);
    const link = await PacketCapture.onDevice(a);
    const held = [await hold(client, server.ipv4, 9000, 40), await hold(second, server.ipv4, 9000, 40)];
    for (const connections of held) assert.deepEqual((await connections.finish()).errors, {});
    const packets = await link.stop();
    const opened = packets.connections().filter(({ to }) => to === `${server.ipv4}.9000`);
    const of = ({ ipv4 }: LabPod): number => opened.filter(({ from }) => from.startsWith(`${ipv4}.`)).length;
    const own = [of(client), of(second)] as const;
    assert.ok(
      own.every((count) => count >= 1 && count <= workers),
      JSON.stringify(opened),
    );
    assert.equal(own[0] + own[1], opened.length);
  });

  test('a server that speaks first is heard at once where it is known that it may', async () => {
    const server = await b.addPod({ name: 'mail', namespace: 'shop', labels: { app: 'mail' } });
    await mesh.agent('b').enrolled('mail');
    await greet(server, 9025);
    const service = {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'mail', namespace: 'shop' },
      spec: {
        clusterIP: '10.96.0.25',
        clusterIPs: ['10.96.0.25'],
        selector: { app: 'mail' },
        ports: [{ name: 'mail', port: 2525, targetPort: 9025, protocol: 'TCP', appProtocol: 'smtp' }],
      },
    };
    for (const [index, object] of [service, ...endpointSlices([service], [server])].entries())
      mesh.lab.objects.setObject(`mail-${index}`, object);
    const greeting = (): Promise<Said> => say(client, '10.96.0.25', 2525, '-', 3);
    await waitUntil(async () => (await greeting()).answer !== '', 15_000, 'the service is known');
    const said = [await greeting(), await greeting(), await greeting(), await greeting()];
    assert.ok(Math.min(...said.map(({ ms }) => ms)) < 400, `${JSON.stringify(said)}\n${mesh.troubles()}`);
  });

  /** 'all' as eBPF data planes and broken links do; 'new' as most others do: what is established goes on. */
  async function wall(node: LabNode, name: string, from: LabPod, to: LabPod, what: 'all' | 'new'): Promise<void> {
    const rules = `table inet ${name} {
      chain c {
        type filter hook forward priority 0
        ${what === 'new' ? 'ct state established,related accept' : ''}
        ip saddr ${from.ipv4} ip daddr ${to.ipv4} drop
        ${what === 'all' ? `ip saddr ${to.ipv4} ip daddr ${from.ipv4} drop` : ''}
      }
    }`;
    const { code, stderr } = await node.run(['nft', '-f', '-'], { input: rules });
    assert.equal(code, 0, stderr);
  }

  test('what the network forbids fails: over a new connection as where nobody answers, within 35 s over one that is there', async () => {
    const guarded = await mesh.addMeshed('b', 'guarded', 'api');
    const cut = await mesh.addMeshed('b', 'cut', 'api');
    for (const pod of [guarded, cut]) for (const port of [9000, 9001]) await echo(pod, port);
    for (const pod of [guarded, cut]) assert.equal((await say(client, pod.ipv4, 9000, 'hello')).error, null);

    await wall(a, 'forbids', client, guarded, 'new');
    await wall(b, 'broken', client, cut, 'all');
    const begin = performance.now();
    for (const pod of [guarded, cut]) {
      const { error, ms } = await say(client, pod.ipv4, 9001, 'new', unansweredSeconds + 5);
      assert.ok(error !== null && ms < unansweredSeconds * 1000 + 2000, `${pod.spec.name}: ${error} after ${ms} ms`);
    }
    const overPooled = await say(client, cut.ipv4, 9000, 'pooled', 60);
    assert.ok(overPooled.error !== null && overPooled.ms < 35_000, JSON.stringify(overPooled));
    await delay(Math.max(0, begin + 35_000 - performance.now()));
    for (const pod of [guarded, cut]) {
      const { error, ms } = await say(client, pod.ipv4, 9000, 'later', unansweredSeconds + 5);
      assert.ok(error !== null && ms < unansweredSeconds * 1000 + 2000, `${pod.spec.name}: ${error} after ${ms} ms`);
    }

    for (const [node, name] of [
      [a, 'forbids'],
      [b, 'broken'],
    ] as const) {
      assert.equal((await node.run(['nft', 'delete', 'table', 'inet', name])).code, 0);
    }
    for (const pod of [guarded, cut]) assert.equal((await say(client, pod.ipv4, 9000, 'again')).error, null);
  });
});
