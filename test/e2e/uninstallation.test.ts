/** Weft is taken from all nodes under traffic of all kinds, as `helm uninstall` does it: by a process beside the agent of each node. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { askToLeave } from '../../node-agent/main/hand-over.ts';
import { LabAgent } from '../lab/agent.ts';
import type { LabPod } from '../lab/pod.ts';
import { answered } from './curl.ts';
import { LabMesh } from './mesh.ts';
import { Traffic, failuresOf, trafficServer } from './traffic.ts';

const perSecond = Number(process.env['WEFT_RATE'] ?? 20);
const stopMs = 15_000;
const graceMs = 30_000;
/** Between nodes, as images are not everywhere at once. */
const apartMs = 1500;
const settleMs = 1000;
const leftMs = 3000;
const kinds = ['http-new', 'http-kept', 'grpc-new', 'grpc-kept', 'tcp-new'] as const;

describe('an uninstallation', () => {
  let mesh: LabMesh;
  let clients: LabPod[];
  let servers: LabPod[];
  const flags = ['--stop-timeout', `${stopMs}ms`];

  before(async () => {
    mesh = await LabMesh.up({ inContainers: true, agentFlags: flags });
    const { client, neighbour, server } = await mesh.addClientAndServers();
    clients = [client, await mesh.addMeshed('b', 'other', 'other')];
    servers = [neighbour, server];
    for (const pod of servers) {
      await trafficServer(pod);
      for (const from of clients) await answered(from, `http://${pod.ipv4}:8081/`);
    }
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  function uninstall(node: string): Promise<LabAgent> {
    const controller = mesh.controller.flagsFor(mesh.lab.node(node));
    return LabAgent.start(mesh.lab.node(node), {
      command: 'uninstall',
      inContainer: true,
      flags: [...controller, ...flags],
    });
  }

  test('that ends before its time has the agent start anew, and its pods are in the mesh again', async () => {
    const agent = mesh.agent('a');
    (await askToLeave(mesh.lab.node('a').runDir, leftMs))();
    await agent.exited();
    assert.equal(agent.lines.filter(({ msg }) => msg === 'pod left the mesh').length, 2, agent.transcript());
    await mesh.startAgent('a');
    for (const name of ['client', 'neighbour']) await mesh.agent('a').enrolled(name);
  });

  test('of all nodes at about the same time: nothing fails that ends by itself, also on connections that are kept', async (t) => {
    const running = [];
    for (const from of clients)
      for (const to of servers) running.push(await Traffic.start(from, to, perSecond, ...kinds));
    await delay(500);
    const talk = await Traffic.start(clients[0] ?? assert.fail(), servers[1] ?? assert.fail(), 5, 'tcp-kept');
    const earlier = ['a', 'b'].map((node) => mesh.agent(node));
    const first = uninstall('a');
    await delay(apartMs);
    const uninstallers = await Promise.all([first, uninstall('b')]);
    await Promise.all(earlier.map((agent) => agent.stop(graceMs)));
    for (const pod of [...clients, ...servers]) {
      const { stdout } = await pod.run(['sh', '-c', 'ip rule; ip route show table all']);
      assert.doesNotMatch(stdout, /169\.254\.116|fwmark/, pod.spec.name);
    }
    await delay(settleMs);
    assert.equal(failuresOf(await talk.stop(), 'tcp-kept').length, 1, 'what has no end is cut');
    const results = await Promise.all(running.map((traffic) => traffic.stop()));
    await Promise.all(uninstallers.map((agent) => agent.stop(graceMs)));
    for (const result of results) {
      for (const kind of kinds) {
        const { attempts, failures } = result[kind] ?? assert.fail(kind);
        t.diagnostic(
          `${kind}: ${attempts}, of which ${failures.length} failed ${JSON.stringify(failures.slice(0, 5))}`,
        );
      }
      assert.deepEqual(failuresOf(result, ...kinds), []);
    }
  });
});
