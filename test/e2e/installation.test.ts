import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import type { CniNetwork } from '../lab/cni-runtime.ts';
import { CniFailure, CniRuntime } from '../lab/cni-runtime.ts';
import { Lab } from '../lab/lab.ts';
import { debianPlugins } from '../lab/layout.ts';
import type { LabNode } from '../lab/node.ts';
import type { LabPod } from '../lab/pod.ts';
import { dial, waitUntil, whoami, whoamiPorts } from './helpers.ts';

describe('an agent that installs its CNI plugin', () => {
  let lab: Lab;
  let node: LabNode;
  let agent: LabAgent;
  let outsider: LabPod;
  let confDir: string;
  let flags: string[];
  /** What the chart gives a container of the agent. */
  const capabilities = Array.from(
    readFileSync(new URL('../../deploy/charts/weft/templates/agent.yaml', import.meta.url), 'utf8').matchAll(
      /^ +- ([A-Z][A-Z_]+)$/gm,
    ),
    ([, name = '']) => name,
  );

  before(async () => {
    lab = await Lab.up({
      nodes: ['a', 'b'],
      namespaces: [
        { name: 'shop', labels: { 'weft.dev/mesh': 'enabled' }, annotations: whoamiPorts },
        { name: 'plain', annotations: whoamiPorts },
      ],
    });
    node = lab.node('a');
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'plain' });
    await whoami(outsider, '0.0.0.0', 8080);
    confDir = join(node.folder, 'net.d');
    const binDir = join(node.folder, 'bin');
    mkdirSync(binDir);
    for (const name of readdirSync(debianPlugins)) symlinkSync(join(debianPlugins, name), join(binDir, name));
    mkdirSync(confDir);
    writeFileSync(join(confDir, '10-pods.conflist'), JSON.stringify(node.network));
    flags = ['--cni-conf-dir', confDir, '--cni-bin-dir', binDir];
    useInstalledChain();
    agent = await LabAgent.start(node, { capabilities, flags });
    await waitUntil(async () => Promise.resolve(chain().includes('weft-cni')), 5000, 'weft-cni is chained in');
    useInstalledChain();
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  function read(): CniNetwork {
    return JSON.parse(readFileSync(join(confDir, '10-pods.conflist'), 'utf8')) as CniNetwork;
  }

  function chain(): string[] {
    return read().plugins.map(({ type }) => type);
  }

  async function stop(process: LabAgent): Promise<void> {
    process.process.kill('SIGTERM');
    await process.exited();
  }

  function useInstalledChain(): void {
    node.cni = new CniRuntime(read(), node.netns, join(node.folder, 'bin'));
  }

  test('it needs no more capabilities than the chart gives it', () => {
    assert.ok(capabilities.includes('SYS_ADMIN'));
    const status = readFileSync(`/proc/${agent.pid}/status`, 'utf8');
    const bounding = BigInt(`0x${/^CapBnd:\s+(\w+)$/m.exec(status)?.[1] ?? ''}`);
    assert.equal(bounding.toString(2).replaceAll('0', '').length, capabilities.length);
  });

  test('pods start through it into the mesh, and wait while the agent is away', async () => {
    const pod = await node.addPod({ name: 'first', namespace: 'shop' });
    assert.equal((await agent.enrolled('first')).msg, 'new pod joined the mesh');
    const captured = await dial(pod, 'plain', outsider.ipv4, 8080);
    assert.notEqual(captured.server?.accept[1], captured.local?.[1]);

    await stop(agent);
    assert.ok(chain().includes('weft-cni'), 'an agent that stops may be one that is replaced');
    await assert.rejects(
      node.addPod({ name: 'early', namespace: 'shop' }),
      (error) => error instanceof CniFailure && error.code === 11,
    );
    await node.addPod({ name: 'other', namespace: 'plain' });
    agent = await LabAgent.start(node, { capabilities, flags });
    await node.addPod({ name: 'second', namespace: 'shop' });
  });

  test('uninstalled, nothing of ours is left on the node, and pods go on without the mesh', async () => {
    const pod = node.pods.find(({ spec }) => spec.name === 'first');
    assert.ok(pod);
    await stop(agent);
    const uninstaller = await LabAgent.start(node, { capabilities, flags, command: 'uninstall' });
    assert.deepEqual(read(), JSON.parse(JSON.stringify(node.network)));
    assert.ok(!existsSync(join(node.folder, 'bin', 'weft-cni')));
    const ready = await node.run([
      'curl',
      '-sS',
      '--max-time',
      '5',
      '-w',
      '%{http_code}',
      'http://127.0.0.1:4191/ready',
    ]);
    assert.match(ready.stdout, /200$/);
    for (const folder of [node.pins, node.runDir, node.stateDir]) assert.ok(!existsSync(folder), folder);
    const rules = (await pod.run(['sh', '-c', 'ip rule; ip -6 rule; ip route show table all; ip address'])).stdout;
    assert.doesNotMatch(rules, /169\.254\.116|fd77:6566|fwmark/);
    const free = await dial(pod, 'plain', outsider.ipv4, 8080);
    assert.deepEqual(free.server?.accept, free.local);
    useInstalledChain();
    await node.addPod({ name: 'later', namespace: 'shop' });
    await stop(uninstaller);
  });
});
