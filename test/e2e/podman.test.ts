import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { must } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/node.ts';
import type { LabPod } from '../lab/pod.ts';
import { Podman } from '../lab/podman.ts';
import type { PodmanPod } from '../lab/podman.ts';
import { meshPlugin, waitUntil, whoami, whoamiPorts } from './helpers.ts';
import type { Dialed } from './helpers.ts';

const podmanFailed = 126;

/** The plugin under a container runtime that was not made for it: podman, libcni and crun as Debian has them. */
describe('podman', () => {
  let lab: Lab;
  let node: LabNode;
  let agent: LabAgent;
  let outsider: LabPod;
  let podman: Podman;
  let foreign: ReadonlySet<string>;

  before(async () => {
    foreign = new Set(existsSync('/run/netns') ? readdirSync('/run/netns') : []);
    lab = await Lab.up({
      nodes: ['a', 'b'],
      meshPlugin,
      unmeshedNodes: ['b'],
      namespaces: [
        { name: 'shop', labels: { 'weft.dev/mesh': 'enabled' }, annotations: whoamiPorts },
        { name: 'plain', annotations: whoamiPorts },
      ],
    });
    node = lab.node('a');
    agent = await LabAgent.start(node, { flags: ['--log-connections'] });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'plain' });
    await whoami(outsider, '0.0.0.0', 8080);
    podman = new Podman(node);
  });

  after(async () => {
    const leftovers = await lab.down();
    assert.deepEqual([leftovers, ownNamespaces()], [[], []]);
  });

  /** podman's network namespaces carry no name of ours. */
  function ownNamespaces(): string[] {
    return readdirSync('/run/netns').filter((name) => name.startsWith('netns-') && !foreign.has(name));
  }

  function inNamespace(namespace: string): PodmanPod {
    return { namespace, uid: crypto.randomUUID() };
  }

  /** As whom the outsider saw the container. */
  async function dialFromContainer(name: string, pod: PodmanPod | undefined): Promise<Dialed['server']> {
    const script = `echo | busybox nc -w 3 ${outsider.ipv4} 8080`;
    const { code, stdout, stderr } = await podman.run(name, pod, ['--rm'], ['sh', '-c', script]);
    assert.equal(code, 0, stderr);
    return JSON.parse(stdout) as Dialed['server'];
  }

  function connectionsOf(pod: string): string[] {
    return agent.lines
      .filter((line) => line.msg === 'connection' && line['pod'] === pod)
      .map((line) => `${String(line['direction'])} ${String(line['destination'])} ${String(line['decision'])}`);
  }

  test('a container of an opted-in namespace is captured in both directions, from its first connection on', async () => {
    const script = `echo | busybox nc -w 3 ${outsider.ipv4} 8080; exec busybox httpd -f -p 8090 -h /etc`;
    const started = await podman.run('meshed', inNamespace('shop'), ['-d'], ['sh', '-c', script]);
    assert.equal(started.code, 0, started.stderr);
    await agent.enrolled('meshed');
    const address = (
      await podman.call(['inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', 'meshed'])
    ).stdout.trim();
    await waitUntil(
      async () => (await outsider.run(['curl', '-sf', '-m', '2', `http://${address}:8090/hostname`])).code === 0,
      5000,
      'the container answers through the mesh',
    );
    for (const connection of [`outbound ${outsider.ipv4}:8080 relayed`, `inbound ${address}:8090 relayed`])
      await waitUntil(() => connectionsOf('shop/meshed').includes(connection), 5000, `"${connection}" in the log`);
    const { stdout } = await podman.call(['logs', 'meshed']);
    assert.equal((JSON.parse(stdout) as { accept: string[] }).accept[0], address);

    assert.equal((await podman.call(['rm', '-f', '-t', '0', 'meshed'])).code, 0);
    await agent.waitForLine((line) => line['pod'] === 'meshed' && line.msg === 'pod left the mesh', 5000);
  });

  for (const [what, pod] of [
    ['a container of a namespace that is not opted in', inNamespace('plain')],
    ['a container that podman says no namespace of', undefined],
  ] as const) {
    test(`${what} runs outside the mesh`, async () => {
      const before = agent.lines.filter((line) => line.msg === 'connection').length;
      const seen = await dialFromContainer('outside', pod);
      assert.match(String(seen?.accept[0]), /^10\.244\.0\./);
      await new Promise((resolve) => setTimeout(resolve, 150)); // reports come in batches of 50 ms
      assert.equal(agent.lines.filter((line) => line.msg === 'connection').length, before);
    });
  }

  test('with the agent dead: those outside the mesh start, one of the mesh does not, and says why', async () => {
    must('sh', '-c', `kill -9 $(cat ${node.agentCgroup}/cgroup.procs)`);
    await agent.exited();
    for (const pod of [undefined, inNamespace('plain')])
      assert.match(String((await dialFromContainer('alone', pod))?.accept[0]), /^10\.244\.0\./);
    const refused = await podman.run('refused', inNamespace('shop'), ['--rm'], ['true']);
    assert.equal(refused.code, podmanFailed, refused.stderr);
    assert.match(refused.stderr, /weft-cni.*namespace \\?"shop\\?" is in the mesh/s);
    const { stdout } = await podman.call(['ps', '--all', '--quiet', '--filter', 'status=running']);
    assert.equal(stdout, '');
    assert.deepEqual(ownNamespaces(), []);
  });
});
