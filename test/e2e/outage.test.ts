import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { must } from '../lab/command.ts';
import { PacketCapture } from '../lab/packet-capture.ts';
import type { LabPod } from '../lab/pod.ts';
import type { Said } from './helpers.ts';
import { churn, echo, hold, say, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

/** What an agent has learnt is on disk within a second. */
const cacheLagMs = 1500;
const secret = 'never-in-plaintext';
const open = 'plaintext-is-seen';
/** Of a host outside of the cluster, at a private address as pods have them. */
const [database, otherDatabase] = ['10.99.0.7', '10.99.0.8'];

describe('no controller', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let server: LabPod;
  let outsider: LabPod;
  let late: LabPod;
  let lateServer: LabPod;
  let link: PacketCapture;
  let held: Awaited<ReturnType<typeof hold>>[];

  before(async () => {
    mesh = await LabMesh.up();
    client = await mesh.addMeshed('a', 'client', 'web');
    server = await mesh.addMeshed('b', 'server', 'api');
    outsider = await mesh.lab.node('c').addPod({ name: 'outsider', namespace: 'plain' });
    for (const pod of [client, server, outsider]) await echo(pod, 9000);
    for (const address of [database, otherDatabase]) leadTo(outsider, address);
    link = await PacketCapture.onDevice(mesh.lab.node('a'));
    for (const [from, to] of pairs()) assert.equal((await say(from, to.ipv4, 9000, secretFor(from, to))).error, null);
    held = await Promise.all(pairs().map(([from, to]) => hold(from, to.ipv4, 9000, 10)));
    const { error, ms } = await say(client, database, 9000, open);
    assert.equal(error, null, 'once the controller has not heard of the address for a while, it is outside');
    assert.ok(ms > 1500, `${ms} ms`);
    await mesh.controller.kill();
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  const pairs = (): [LabPod, LabPod][] => [
    [client, server],
    [server, client],
    [client, outsider],
    [outsider, server],
  ];

  /** Only what no stranger is part of has to be secret. */
  const secretFor = (from: LabPod, to: LabPod): string => ([from, to].includes(outsider) ? open : secret);

  async function knownDestinationsWork(): Promise<void> {
    for (const [from, to] of pairs()) {
      const { errors } = await churn(from, to.ipv4, 9000, 300, 16, 0);
      assert.deepEqual(errors, {}, `${from.spec.name} to ${to.spec.name}: ${mesh.troubles()}`);
      assert.equal((await say(from, to.ipv4, 9000, secretFor(from, to))).error, null);
    }
  }

  /** Without the controller's knowing. */
  function leadTo(pod: LabPod, address: string): void {
    must('ip', '-n', pod.netns, 'address', 'add', `${address}/32`, 'dev', 'lo');
    const { node } = pod;
    must('ip', '-n', node.netns, 'route', 'add', address, 'via', pod.ipv4);
    for (const other of mesh.lab.nodes)
      if (other !== node) must('ip', '-n', other.netns, 'route', 'add', address, 'via', node.address);
  }

  test('open connections and new ones to known destinations work', async () => {
    await knownDestinationsWork();
    for (const connections of held) assert.deepEqual((await connections.finish()).errors, {});
  });

  test('so do connections to a host outside that was known', async () => {
    const { error, ms } = await say(client, database, 9000, open);
    assert.equal(error, null);
    assert.ok(ms < 1000, `${ms} ms`);
  });

  test('also after the agents were killed and started again', async () => {
    await delay(cacheLagMs);
    for (const node of ['a', 'b']) {
      await mesh.killAgent(node);
      await mesh.startAgent(node);
    }
    await knownDestinationsWork();
  });

  function assertRefusedAfterWaiting({ error, ms }: Said, what: string): void {
    assert.equal(error, 'ConnectionResetError', `${what} after ${ms} ms`);
    assert.ok(ms > 2500 && ms < 5000, `${what}: ${ms} ms`);
  }

  test("a new pod's connections wait, and are refused", async () => {
    late = await mesh.addMeshed('a', 'late', 'web');
    lateServer = await mesh.addMeshed('b', 'lateserver', 'api');
    await echo(lateServer, 9000);
    const [known, unknown, nobody, fromKnown] = await Promise.all([
      say(late, server.ipv4, 9000, secret),
      say(late, lateServer.ipv4, 9000, secret),
      say(late, otherDatabase, 9000, secret),
      say(client, lateServer.ipv4, 9000, secret),
    ]);
    assertRefusedAfterWaiting(known, 'as nobody knows the identity of the new pod');
    assertRefusedAfterWaiting(unknown, 'to a new pod');
    assertRefusedAfterWaiting(nobody, "to an address that is nobody's");
    assertRefusedAfterWaiting(fromKnown, 'to a new pod, from a known one');
  });

  test('the controller is back: all heals, and nothing of it was in plaintext', async () => {
    await mesh.startController();
    const works = async (from: LabPod, to: LabPod): Promise<boolean> =>
      (await say(from, to.ipv4, 9000, secret, 5)).error === null;
    for (const [from, to] of [
      [late, server],
      [late, lateServer],
      [client, lateServer],
    ] as const) {
      await waitUntil(() => works(from, to), 20_000, `${from.spec.name} reaches ${to.spec.name}`);
    }
    await knownDestinationsWork();
    assert.equal((await say(client, otherDatabase, 9000, open)).error, null);
    const packets = await link.stop();
    assert.ok(packets.contains(open), 'what is in plaintext is seen');
    assert.ok(!packets.contains(secret));
  });
});
