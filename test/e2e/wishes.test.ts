import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { readNamespacesFile } from '../../node-agent/main/namespaces-file.ts';
import type { LabNode } from '../lab/node.ts';
import { echo, say, waitUntil } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const joined = 'new pod joined the mesh';
const joinedRunning = 'running pod joined the mesh';

describe('an agent that knows objects by its controller alone', () => {
  let mesh: LabMesh;
  let node: LabNode;

  before(async () => {
    mesh = await LabMesh.up();
    node = mesh.lab.node('a');
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  const optedIn = (): string => readNamespacesFile(join(node.stateDir, 'namespaces.json')).join();
  const forget = (file: string): void => rmSync(join(node.stateDir, file), { force: true });

  test('a running pod joins and leaves with its namespace, which the CNI plugin knows, too', async () => {
    assert.equal(optedIn(), 'shop');
    const pod = await node.addPod({ name: 'runner', namespace: 'plain' });
    mesh.lab.objects.setNamespace({ name: 'plain', labels: { 'weft.dev/mesh': 'enabled' } });
    assert.equal((await mesh.agent('a').enrolled('runner')).msg, joinedRunning);
    assert.equal(optedIn(), 'plain,shop');
    mesh.lab.objects.setNamespace({ name: 'plain' });
    await mesh.agent('a').waitForLine((line) => line['pod'] === 'runner' && line.msg === 'pod left the mesh', 15_000);
    assert.equal(optedIn(), 'shop');
    await pod.delete();
  });

  test("a pod's own label beats its namespace from its first packet on", async () => {
    const label = 'weft.dev/mesh';
    await node.addPod({ name: 'out', namespace: 'shop', labels: { [label]: 'disabled' } });
    await node.addPod({ name: 'in', namespace: 'plain', labels: { [label]: 'enabled' } });
    assert.equal((await mesh.agent('a').enrolled('in')).msg, joined);
    assert.ok(!mesh.agent('a').lines.some((line) => line['pod'] === 'out'), mesh.agent('a').transcript());
  });

  test('without controller and cache, the namespaces that the agent before knew count', async () => {
    await mesh.controller.kill();
    await mesh.killAgent('a');
    forget('directory.cache');
    const agent = await mesh.startAgent('a');
    await node.addPod({ name: 'kept', namespace: 'shop' });
    assert.equal((await agent.enrolled('kept')).msg, joined);
    await node.addPod({ name: 'plain', namespace: 'plain' });
    assert.ok(!agent.lines.some((line) => line['pod'] === 'plain'), agent.transcript());
    assert.equal(optedIn(), 'shop');
  });

  test('where nothing at all is known a pod starts, and joins once the controller is there', async () => {
    await mesh.killAgent('a');
    forget('directory.cache');
    forget('namespaces.json');
    const agent = await mesh.startAgent('a');
    const early = await node.addPod({ name: 'early', namespace: 'shop' });
    assert.ok(!agent.lines.some((line) => line['pod'] === 'early'), agent.transcript());
    await mesh.startController();
    assert.equal((await agent.enrolled('early', 30_000)).msg, joinedRunning);
    assert.equal(optedIn(), 'shop');
    const server = await mesh.addMeshed('b', 'server', 'api');
    await echo(server, 9000);
    await waitUntil(
      async () => (await say(early, server.ipv4, 9000, 'hello', 5)).error === null,
      20_000,
      'it reaches a meshed pod of another node',
    );
  });
});
