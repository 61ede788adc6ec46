import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { dial, meshPlugin, rawSyn, whoami, whoamiPorts } from './helpers.ts';

const detach = new URL('../tools/detach_ingress.py', import.meta.url).pathname;

/** A pod must not reach anybody around the agent, whatever it does to its sockets and its network namespace. */
describe('no way around the agent', () => {
  let lab: Lab;
  let agent: LabAgent;
  let pod: LabPod;
  let outsider: LabPod;

  before(async () => {
    lab = await Lab.up({
      nodes: ['a', 'b'],
      meshPlugin,
      unmeshedNodes: ['b'],
      namespaces: [
        { name: 'shop', labels: { 'weft.dev/mesh': 'enabled' }, annotations: whoamiPorts },
        { name: 'plain', annotations: whoamiPorts },
      ],
    });
    agent = await LabAgent.start(lab.node('a'), { flags: ['--log-connections'] });
    pod = await lab.node('a').addPod({ name: 'pod', namespace: 'shop' });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'plain' });
    await agent.enrolled('pod');
    await whoami(outsider, '0.0.0.0', 8080);
    await whoami(outsider, '::', 8081);
    await whoami(pod, '0.0.0.0', 8080);
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  /** Either it failed, or the server saw another port than the client has: the agent's. */
  async function assertNotAround(kind: string, capabilities: readonly string[], agentIsDead: boolean): Promise<void> {
    for (const [address, port] of [
      [outsider.ipv4, 8080],
      [outsider.ipv6, 8081],
    ] as const) {
      const dialed = await dial(pod, kind, address, port, { capabilities });
      if (agentIsDead) assert.ok(dialed.error !== undefined, `${kind} got through: ${JSON.stringify(dialed)}`);
      else if (dialed.server)
        assert.notEqual(dialed.server.accept[1], dialed.local?.[1], `${kind} went around: ${JSON.stringify(dialed)}`);
      else assert.ok(dialed.error !== undefined);
    }
  }

  const attempts: readonly (readonly [kind: string, capabilities: readonly string[]])[] = [
    ['plain', []],
    ['device', []],
    ['device-late', []],
    ['mark-zero', ['net_raw']],
    ['mark-zero-late', ['net_raw']],
    ['mark-zero', ['net_admin']],
    ['mark-zero-late', ['net_admin']],
    ['device', ['net_raw', 'net_admin']],
    ['device-late', ['net_raw', 'net_admin']],
  ];

  for (const [kind, capabilities] of attempts) {
    test(`${kind} with ${capabilities.join(' and ') || 'no capability'}`, () =>
      assertNotAround(kind, capabilities, false));
  }

  test('SYNs through raw IP sockets', async () => {
    const { answered } = await rawSyn(pod, outsider.ipv4, 8080, { capabilities: ['net_raw'] });
    assert.ok(!answered);
  });

  test('CAP_NET_ADMIN removes rule, route and filter from inside: nothing gets out before the agent has put them back', async () => {
    const capabilities = ['net_admin'];
    const removed = await pod.run(
      [
        'sh',
        '-ec',
        `for family in -4 -6; do ip $family route flush table 30566; ip $family rule del priority 1700; done; python3 ${detach} eth0; ip rule`,
      ],
      { capabilities },
    );
    assert.deepEqual([removed.code, removed.stdout.includes('1700')], [0, false], 'the attempt itself did not work');
    await assertNotAround('plain', capabilities, false);
    await assertNotAround('device', capabilities, false);
    await dial(outsider, 'plain', pod.ipv4, 8080);
    await new Promise((resolve) => setTimeout(resolve, 150));
    assert.ok(
      agent.lines.some((line) => line['destination'] === `${pod.ipv4}:8080` && line['direction'] === 'inbound'),
    );
  });

  test('the same with the agent dead', async () => {
    const other = await lab.node('a').addPod({ name: 'other', namespace: 'shop' });
    await agent.enrolled('other');
    await whoami(other, '0.0.0.0', 8080);
    await lab.node('a').run(['sh', '-c', `kill -9 $(cat ${lab.node('a').agentCgroup}/cgroup.procs)`]);
    await agent.exited();
    for (const [kind, capabilities] of attempts) await assertNotAround(kind, capabilities, true);
    const { answered } = await rawSyn(other, outsider.ipv4, 8080, { capabilities: ['net_raw'] });
    assert.ok(!answered);
    const inbound = await dial(outsider, 'plain', other.ipv4, 8080);
    assert.match(inbound.error ?? '', /timed out/, 'a SYN must be dropped in silence, not refused');
  });
});
