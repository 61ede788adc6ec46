import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import { CniFailure } from '../lab/cni-runtime.ts';
import { LabAgent } from '../lab/agent.ts';
import { must, run } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/node.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, dial, echo, hold, meshPlugin, waitUntil, whoami, whoamiPorts } from './helpers.ts';

const foreignProgram = new URL('../../build/test/foreign.bpf.o', import.meta.url).pathname;

describe('enrolment', () => {
  let lab: Lab;
  let node: LabNode;
  let agent: LabAgent;
  let outsider: LabPod;

  before(async () => {
    lab = await Lab.up({
      nodes: ['a', 'b'],
      meshPlugin,
      unmeshedNodes: ['b'],
      namespaces: [
        { name: 'shop', labels: { 'weft.dev/mesh': 'enabled' }, annotations: whoamiPorts },
        { name: 'plain', annotations: whoamiPorts },
        { name: 'outside', annotations: whoamiPorts },
      ],
    });
    node = lab.node('a');
    // The foreign program below sends whoever asks for metrics to another address of the loopback.
    agent = await LabAgent.start(node, { flags: ['--admin', '0.0.0.0:4191'] });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'outside' });
    await whoami(outsider, '0.0.0.0', 8080);
    await echo(outsider, 9000);
  });

  async function metrics(): Promise<string> {
    return (await node.run(['curl', '-s', 'http://127.0.0.1:4191/metrics'])).stdout;
  }

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  test('a running pod joins and leaves by label; its open connections survive, and nothing of ours stays in its namespace', async () => {
    const pod = await node.addPod({ name: 'runner', namespace: 'plain' });
    await echo(pod, 9000);
    const before = (await pod.run(['sh', '-c', 'ip rule; ip route show table all; ip -6 rule'])).stdout;
    const inbound = await hold(outsider, pod.ipv4, 9000, 50);
    const outbound = await hold(pod, outsider.ipv4, 9000, 50);

    lab.objects.setNamespace({ name: 'plain', labels: { 'weft.dev/mesh': 'enabled' } });
    await agent.enrolled('runner');
    const captured = await dial(pod, 'plain', outsider.ipv4, 8080);
    assert.notEqual(captured.server?.accept[1], captured.local?.[1]);
    const whileIn = await hold(outsider, pod.ipv4, 9000, 50);

    lab.objects.setNamespace({ name: 'plain' });
    await agent.waitForLine((line) => line['pod'] === 'runner' && line.msg === 'pod left the mesh', 15_000);
    const free = await dial(pod, 'plain', outsider.ipv4, 8080);
    assert.deepEqual(free.server?.accept, free.local);
    for (const connections of [inbound, outbound, whileIn]) assert.deepEqual((await connections.finish()).errors, {});
    await waitUntil(
      async () => (await pod.run(['sh', '-c', 'ip rule; ip route show table all; ip -6 rule'])).stdout === before,
      15_000,
      'routes and rules as before',
    );
    await pod.delete();
  });

  test('the object of a pod whose sandbox is deleted enrols nobody, though another pod has its address', async () => {
    node.forgetAddresses();
    const gone = await node.addPod({ name: 'gone', namespace: 'shop' });
    await agent.enrolled('gone');
    await node.cni.del(gone.container);
    must('ip', 'netns', 'del', gone.netns);
    node.forgetAddresses();
    const heir = await node.addPod({ name: 'heir', namespace: 'shop' });
    assert.equal(heir.ipv4, gone.ipv4);
    await agent.enrolled('heir');
    const sweeps = 2500;
    await new Promise((resolve) => setTimeout(resolve, sweeps));
    const joined = agent.lines.filter((line) => line.msg.endsWith('joined the mesh')).map((line) => line['pod']);
    assert.deepEqual(
      joined.filter((name) => name === 'gone' || name === 'heir'),
      ['gone', 'heir'],
    );
    lab.objects.deletePod(gone);
    await heir.delete();
  });

  test('a pod whose agent misses an annotation keeps what it had: the error names annotation and token', async () => {
    const annotations = { 'config.linkerd.io/skip-outbound-ports': '80,many' };
    const pod = await node.addPod({ name: 'typo', namespace: 'shop', annotations });
    const line = await agent.waitForLine((candidate) => candidate['code'] === 'WEFT-E107', 15_000);
    assert.match(String(line['error']), /skip-outbound-ports.*many/);
    await agent.enrolled('typo');
    assert.doesNotMatch(await metrics(), /weft_pod_not_meshable\{.*"typo"/, 'it is in the mesh');
    await pod.delete();
  });

  test('a foreign program that translates addresses: the pod is not meshable, and the program is named', async () => {
    const pin = join('/sys/fs/bpf', `weft-lab-${lab.name}-foreign`);
    must('bpftool', 'prog', 'load', foreignProgram, pin, 'type', 'cgroup/connect4');
    must('bpftool', 'cgroup', 'attach', lab.cgroup, 'connect4', 'pinned', pin, 'multi');
    try {
      const pod = await node.addPod({ name: 'translated', namespace: 'shop' });
      const line = await agent.waitForLine((candidate) => candidate['code'] === 'WEFT-E103', 15_000);
      assert.equal(line['pod'], 'shop/translated');
      assert.match(String(line['error']), /foreign_lb4/);
      const told = await metrics();
      assert.match(
        told,
        /^weft_foreign_program_info\{name="foreign_lb4",id="\d+",attach_type="connect4",cgroup="\S+"\} 1$/m,
      );
      assert.match(told, /^weft_pod_not_meshable\{namespace="shop",pod="translated",code="WEFT-E103"\} 1$/m);
      for (const feature of ['btf', 'bpffs', 'cgroup2'])
        assert.ok(told.includes(`\nweft_node_feature{feature="${feature}"} 1\n`), feature);
      await pod.delete();
    } finally {
      must('bpftool', 'cgroup', 'detach', lab.cgroup, 'connect4', 'pinned', pin);
    }
    await waitUntil(async () => !(await metrics()).includes('pod="translated",code='), 10_000, 'forgotten');
    assert.match(await metrics(), /^weft_foreign_programs 0$/m);
  });

  test('a pod whose packets do not arrive at its sockets: not meshable, and not left half open', async () => {
    const pod = await node.addPod({ name: 'sandboxed', namespace: 'plain' });
    const rules =
      'table inet x {\nchain c {\ntype filter hook prerouting priority raw\ntcp dport 61000-65535 drop\n}\n}\n';
    assert.equal((await pod.run(['nft', '-f', '-'], { input: rules })).code, 0);
    lab.objects.setPod(pod, { labels: { 'weft.dev/mesh': 'enabled' } });
    const line = await agent.waitForLine((candidate) => candidate['code'] === 'WEFT-E102', 15_000);
    assert.equal(line['pod'], 'plain/sandboxed');
    const dialed = await dial(pod, 'plain', outsider.ipv4, 8080);
    assert.deepEqual(dialed.server?.accept, dialed.local);
    await pod.delete();
  });

  test('100 running pods of a namespace join', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `many${index}`);
    const pods = await Promise.all(names.map((name) => node.addPod({ name, namespace: 'many' })));
    lab.objects.setNamespace({ name: 'many', labels: { 'weft.dev/mesh': 'enabled' } });
    for (const name of names) await agent.enrolled(name, 30_000);
    for (const pod of pods) await pod.delete();
    await waitUntil(() => mapEntries(node, 'pods') === 0, 15_000, 'all have left');
  });

  test('200 ADD and DEL leave no descriptor, map entry, link or route behind', async () => {
    const count = (): object => ({
      descriptors: agentDescriptors(),
      pins: readdirSync(node.pins).length,
      entries: ['pods', 'addresses', 'skip_ports', 'skip_subnets', 'clients'].map((map) => mapEntries(node, map)),
      routes: must('ip', '-n', node.netns, 'route', 'show', 'table', 'all').split('\n').length,
    });
    const cycle = async (name: string): Promise<void> => {
      const pod = await node.addPod({ name, namespace: 'shop' });
      await pod.delete();
    };
    for (let index = 0; index < 5; index++) await cycle(`warm${index}`);
    await new Promise((resolve) => setTimeout(resolve, 15_000));
    const before = count();
    for (let index = 0; index < 200; index++) await cycle(`cycle${index}`);
    await waitUntil(
      () => JSON.stringify(count()) === JSON.stringify(before),
      8000,
      `as before: ${JSON.stringify([before, count()])}`,
    ).catch((error: unknown) => {
      assert.deepEqual(count(), before, String(error));
    });
  });

  test('with the agent down or hung a pod of an opted-in namespace gets code 11 within 2 s, any other pod is created', async () => {
    const expectTryAgain = async (name: string): Promise<void> => {
      const isTryAgain = (error: unknown): boolean =>
        error instanceof CniFailure && error.code === 11 && error.durationMs < 2000;
      await assert.rejects(node.addPod({ name, namespace: 'shop' }), isTryAgain);
      await node.addPod({ name: `${name}-plain`, namespace: 'plain' });
    };
    process.kill(agent.pid, 'SIGSTOP');
    await expectTryAgain('hung');
    process.kill(agent.pid, 'SIGKILL');
    await agent.exited();
    await expectTryAgain('down');
    agent = await LabAgent.start(node);
    const pod = await node.addPod({ name: 'back', namespace: 'shop' });
    await agent.enrolled('back');
    await echo(pod, 9000);
    assert.deepEqual((await churn(outsider, pod.ipv4, 9000, 500, 8, 0)).errors, {});
  });

  test('a bad manifest is reported with file, line and field, and what stood there before stays', async () => {
    const file = join(lab.objects.folder, 'more.yaml');
    writeFileSync(file, 'kind: Namespace\nmetadata: {name: extra}\n---\nkind: Namespace\nmetadata: {name: 7}\n');
    const line = await agent.waitForLine((candidate) => candidate.msg.includes('more.yaml'), 15_000);
    assert.match(line.msg, /more\.yaml:\d+: metadata\.name must be a string/);
  });

  function agentDescriptors(): number[] {
    return node.agentPids().map((pid) => readdirSync(`/proc/${pid}/fd`).length);
  }
});

function mapEntries(node: LabNode, map: string): number {
  const pin = readdirSync(node.pins).find((name) => name.startsWith(`map-${map}-`));
  assert.ok(pin !== undefined);
  const dump: unknown = JSON.parse(must('bpftool', '-j', 'map', 'dump', 'pinned', join(node.pins, pin)));
  return Array.isArray(dump) ? dump.length : 0;
}

test('a lab that is killed is taken down all the same', async () => {
  const name = `k${process.pid}`;
  const script = `
    import { Lab } from ${JSON.stringify(new URL('../lab/lab.ts', import.meta.url).href)};
    const lab = await Lab.up({ name: ${JSON.stringify(name)}, nodes: ['a'] });
    await lab.node('a').addPod({ name: 'p', namespace: 'n' });
    process.kill(process.pid, 'SIGKILL');`;
  await run([process.execPath, '--input-type=module', '-e', script]);
  const { leftovers } = await import('../lab/teardown.ts');
  await waitUntil(() => leftovers(name).length === 0, 30_000, 'nothing is left');
});
