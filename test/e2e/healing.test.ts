import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { LabAgent } from '../lab/agent.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { dial, echo, meshPlugin, waitUntil, whoami, whoamiPorts } from './helpers.ts';

const chatter = new URL('../tools/chatter.py', import.meta.url).pathname;
const detach = new URL('../tools/detach_ingress.py', import.meta.url).pathname;
const healDeadlineMs = 5000;

/** What somebody who administers the pod's network namespace may take away. */
const removals: Record<string, string> = {
  'the IPv4 rule': 'ip rule del pref 1700',
  'the IPv6 rule': 'ip -6 rule del pref 1700',
  'the IPv4 route': 'ip route flush table 30566',
  'the IPv6 route': 'ip -6 route flush table 30566',
  'the IPv4 source block': 'ip route del local 169.254.116.0/24 dev lo table local',
  'the IPv6 source block': 'ip -6 route del local fd77:6566:7400::/64 dev lo table local',
  'the program on the device': `python3 ${detach} eth0`,
  'lo itself': 'ip link set lo down',
  everything: `python3 ${detach} eth0; ip rule flush; ip rule add pref 32766 lookup main; ip -6 rule del pref 1700; ip route flush table 30566; ip link set lo down`,
};

describe('healing', () => {
  let lab: Lab;
  let agent: LabAgent;
  let victim: LabPod;
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
    agent = await LabAgent.start(lab.node('a'));
    victim = await lab.node('a').addPod({ name: 'victim', namespace: 'shop' });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'plain' });
    await agent.enrolled('victim');
    for (const pod of [victim, outsider]) {
      await whoami(pod, '0.0.0.0', 8080);
      await whoami(pod, '::', 8081);
      await echo(pod, 9000);
    }
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  async function isCaptured(): Promise<boolean> {
    const dials = await Promise.all([
      dial(victim, 'plain', outsider.ipv4, 8080),
      dial(victim, 'plain', outsider.ipv6, 8081),
      dial(outsider, 'plain', victim.ipv4, 8080),
      dial(outsider, 'plain', victim.ipv6, 8081),
    ]);
    for (const { server, local } of dials.slice(0, 2))
      assert.notEqual(server?.accept[1], local?.[1] ?? '', 'a connection went around the agent');
    return dials.every(({ server }) => server !== undefined);
  }

  for (const [what, command] of Object.entries(removals)) {
    test(`${what} is put back; open connections go on, and nothing leaves around the agent`, async () => {
      const connections = await Promise.all([
        chat(victim, outsider.ipv4),
        chat(victim, outsider.ipv6),
        chat(outsider, victim.ipv4),
        chat(outsider, victim.ipv6),
      ]);
      const ports = connections.slice(0, 2).map(({ port }) => `src port ${port}`);
      const leaks = await sniff(
        `tcp and (${ports.join(' or ')} or dst net 169.254.116.0/24 or dst net fd77:6566:7400::/64)`,
      );
      agent.lines.length = 0;
      await victim.run(['sh', '-c', command]);
      await agent.waitForLine(
        (line) => line['pod'] === 'victim' && line.msg === 'capture of the pod was damaged and is mended',
        healDeadlineMs,
      );
      // Of what takes several commands the first part may have been mended before the last was done.
      await waitUntil(isCaptured, healDeadlineMs, 'the pod is captured again');
      for (const { finish } of connections) assert.deepEqual(await finish(), { complete: true });
      assert.deepEqual(await leaks(), []);
    });
  }

  test('what cannot be put back is reported; nothing leaves around the agent, and it heals when the way is free', async () => {
    agent.lines.length = 0;
    await victim.run(['ip', 'rule', 'add', 'pref', '5', 'lookup', 'main']);
    const line = await agent.waitForLine((candidate) => candidate['code'] === 'WEFT-E111', healDeadlineMs);
    assert.equal(line['pod'], 'shop/victim');
    const leaks = await sniff(`tcp and src host ${victim.ipv4} and dst port 8080`);
    assert.equal((await dial(victim, 'plain', outsider.ipv4, 8080)).server, undefined);
    assert.deepEqual(await leaks(), []);
    await victim.run(['ip', 'rule', 'del', 'pref', '5']);
    await agent.waitForLine(
      (candidate) => candidate.msg === 'capture of the pod was damaged and is mended',
      healDeadlineMs,
    );
    assert.ok(await isCaptured());
    await delay(healDeadlineMs);
    const reports = agent.lines.filter((candidate) => candidate['code'] === 'WEFT-E111');
    assert.equal(reports.length, 1, 'told once');
  });

  /** TCP packets on the node's side of its pods. */
  async function sniff(filter: string): Promise<() => Promise<string[]>> {
    const sniffer = lab.node('a').spawn(['tcpdump', '-lnqi', 'cni0', filter]);
    let seen = '';
    sniffer.stdout?.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    const { promise: listening, resolve } = Promise.withResolvers<void>();
    sniffer.stderr?.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes('listening on')) resolve();
    });
    const ended = new Promise((end) => sniffer.once('close', end));
    await listening;
    return async () => {
      sniffer.kill('SIGINT');
      await ended;
      return seen.split('\n').filter(Boolean);
    };
  }
});

interface Chat {
  readonly port: number;
  readonly finish: () => Promise<unknown>;
}

/** A connection that is never silent. */
async function chat(client: LabPod, server: string): Promise<Chat> {
  const process = client.spawn(['/usr/bin/python3', chatter, server, '9000']);
  let output = '';
  process.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const ended = new Promise((end) => process.once('close', end));
  await waitUntil(() => output.includes('\n'), 5000, 'the connection is open');
  return {
    port: parseInt(output),
    finish: async () => {
      process.stdin?.end();
      await ended;
      const { sent, received, error } = JSON.parse(output.slice(output.indexOf('{'))) as Record<string, unknown>;
      return error === undefined ? { complete: sent === received } : { error };
    },
  };
}
