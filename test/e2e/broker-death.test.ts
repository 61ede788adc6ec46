import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/node.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, echo, meshPlugin, waitUntil } from './helpers.ts';

function brokersOf(node: LabNode): number[] {
  const pids = readFileSync(join(node.agentCgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'weft-broker';
    } catch {
      return false; // it has just ended
    }
  });
}

describe('death of the broker', () => {
  let lab: Lab;
  let node: LabNode;
  let agent: LabAgent;
  let server: LabPod;
  let outsider: LabPod;

  before(async () => {
    lab = await Lab.up({
      nodes: ['a', 'b'],
      meshPlugin,
      unmeshedNodes: ['b'],
      namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }, { name: 'plain' }],
    });
    node = lab.node('a');
    agent = await LabAgent.start(node);
    server = await node.addPod({ name: 'server', namespace: 'shop' });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'plain' });
    await agent.enrolled('server');
    await echo(server, 9000);
    await echo(outsider, 9000);
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  test('connections go on and new ones come, in both directions; pods can join, and the agent stays', async () => {
    for (const round of [1, 2]) {
      const [broker = 0, ...others] = brokersOf(node);
      assert.deepEqual(others, []);
      const load = Promise.all([
        churn(outsider, server.ipv4, 9000, 1500, 8, 500),
        churn(server, outsider.ipv4, 9000, 1500, 8, 500),
      ]);
      process.kill(broker, 'SIGKILL');
      await waitUntil(
        () => brokersOf(node).some((pid) => pid !== broker),
        5000,
        `another broker: ${agent.transcript()}`,
      );
      assert.deepEqual(
        (await load).map(({ errors }) => errors),
        [{}, {}],
      );
      const name = `late-${round}`;
      const late = await node.addPod({ name, namespace: 'shop' });
      await agent.enrolled(name);
      await echo(late, 9000);
      assert.deepEqual((await churn(outsider, late.ipv4, 9000, 100, 4, 0)).errors, {});
    }
    assert.equal(agent.process.exitCode, null);
    assert.equal(agent.lines.filter(({ msg }) => msg === 'the broker ended; starting another').length, 2);
  });
});
