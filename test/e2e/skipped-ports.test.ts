import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import type { LabPod } from '../lab/pod.ts';
import { dial, whoami } from './helpers.ts';
import { LabMesh } from './mesh.ts';

describe('ports that a server of another node skips', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let server: LabPod;

  before(async () => {
    mesh = await LabMesh.up();
    client = await mesh.addMeshed('a', 'client', 'client');
    const annotations = {
      'config.linkerd.io/skip-inbound-ports': '7100',
      'config.linkerd.io/opaque-ports': '7100,8080',
    };
    server = await mesh.lab.node('b').addPod({ name: 'server', namespace: 'shop', annotations });
    await mesh.agent('b').enrolled('server');
    for (const port of [7100, 8080]) await whoami(server, '0.0.0.0', port);
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  test('are dialled plainly', async () => {
    const dialed = await dial(client, 'plain', server.ipv4, 7100);
    assert.equal(dialed.server?.accept[0], client.ipv4, `${JSON.stringify(dialed)}\n${mesh.troubles()}`);
    assert.notEqual(dialed.server.accept[1], dialed.local?.[1], 'the agent of the client has dialled anew');
  });

  test('and the others are not', async () => {
    const dialed = await dial(client, 'plain', server.ipv4, 8080);
    assert.deepEqual(dialed.server?.accept, dialed.local, mesh.troubles());
  });
});
