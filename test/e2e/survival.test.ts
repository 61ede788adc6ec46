import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, dial, echo, hold, meshPlugin, waitUntil, whoami, whoamiPorts } from './helpers.ts';

const build = new URL('../../build/', import.meta.url).pathname;
const changedLayout = { WEFT_ADDON: `${build}Release/weft_changed.node`, WEFT_BPF: `${build}bpf-changed` };

/** How long workers are killed under load: seconds. The full two minutes are run with WEFT_SOAK=120. */
const soakSeconds = Number(process.env['WEFT_SOAK'] ?? 15);

describe('survival', () => {
  let lab: Lab;
  let agent: LabAgent;
  let server: LabPod;
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
    server = await lab.node('a').addPod({ name: 'server', namespace: 'shop' });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'plain' });
    await agent.enrolled('server');
    // The load would otherwise run out of ports itself: 28,000 a minute to one destination.
    await outsider.run(['sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 60999', 'net.ipv4.tcp_tw_reuse=1']);
    await echo(server, 9000);
    await echo(outsider, 9000);
    await whoami(outsider, '0.0.0.0', 8080);
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  test(`a worker is killed again and again under 500 new connections a second for ${soakSeconds} s: only its own open ones break`, async () => {
    let kills = 0;
    const killer = setInterval(() => {
      const [victim] = lab.node('a').workerPids();
      if (victim !== undefined && lab.node('a').workerPids().length > 1) {
        process.kill(victim, 'SIGKILL');
        kills++;
      }
    }, 2500);
    const load = await churn(outsider, server.ipv4, 9000, 500 * soakSeconds, 64, 500);
    clearInterval(killer);
    const { ECONNRESET = 0, EPIPE = 0, ...others } = load.errors;
    assert.deepEqual(others, {}, 'no connection may be refused or get no answer');
    assert.ok(kills >= 4, `only ${kills} kills`);
    assert.ok(ECONNRESET + EPIPE <= kills * 8, `${ECONNRESET + EPIPE} connections broke in ${kills} kills`);
    await waitUntil(() => lab.node('a').workerPids().length === 2, 5000, 'two workers again');
  });

  test('the main process is killed: workers go on, a new main takes over without an enrolment by hand', async () => {
    assert.deepEqual((await churn(server, outsider.ipv4, 9000, 10, 1, 0)).errors, {}, 'the destination is known');
    process.kill(agent.pid, 'SIGKILL');
    await agent.exited();
    const meanwhile = await churn(outsider, server.ipv4, 9000, 1000, 16, 0);
    assert.deepEqual(meanwhile.errors, {});
    assert.deepEqual((await churn(server, outsider.ipv4, 9000, 1000, 16, 0)).errors, {});
    agent = await LabAgent.start(lab.node('a'));
    assert.equal(agent.lines.find((line) => line.msg === 'ready')?.['adopted'], 1);
    assert.deepEqual((await churn(outsider, server.ipv4, 9000, 1000, 16, 0)).errors, {});
    await waitUntil(() => lab.node('a').workerPids().length === 2, 10_000, 'the old workers are gone');
  });

  test('the whole agent is killed: nothing passes, nothing is refused, and connects that waited succeed', async () => {
    await lab.node('a').run(['sh', '-c', `kill -9 $(cat ${lab.node('a').agentCgroup}/cgroup.procs)`]);
    await agent.exited();
    const waiting = [dial(outsider, 'plain', server.ipv4, 9000), dial(server, 'plain', outsider.ipv4, 8080)];
    const stillWaiting = await Promise.race([
      ...waiting,
      new Promise((resolve) => setTimeout(() => resolve('waiting'), 700)),
    ]);
    assert.equal(stillWaiting, 'waiting');
    agent = await LabAgent.start(lab.node('a'));
    const [inbound, outbound] = await Promise.all(waiting);
    assert.doesNotMatch(inbound?.error ?? '', /refused|did not finish/); // an echo server says nothing by itself: reading times out
    assert.ok(outbound?.server, JSON.stringify(outbound));
    assert.deepEqual((await churn(outsider, server.ipv4, 9000, 1000, 16, 0)).errors, {});
  });

  test('upgrade by a second agent that takes over: 10,000 connections back to back, none fails', async () => {
    const load = churn(outsider, server.ipv4, 9000, 10_000, 8, 2500);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const successor = await LabAgent.start(lab.node('a'));
    await agent.exited();
    agent = successor;
    const { succeeded, errors } = await load;
    assert.deepEqual({ succeeded, errors }, { succeeded: 10_000, errors: {} });
  });

  test('upgrade across a change of the pinned layout: 500 open connections survive, and back', async () => {
    const inbound = await hold(outsider, server.ipv4, 9000, 250);
    const outbound = await hold(server, outsider.ipv4, 9000, 250);
    for (const env of [changedLayout, {}]) {
      const load = churn(outsider, server.ipv4, 9000, 4000, 8, 2000);
      const successor = await LabAgent.start(lab.node('a'), { env });
      await agent.exited();
      agent = successor;
      assert.equal(agent.lines.find((line) => line.msg === 'ready')?.['adopted'], 1);
      assert.deepEqual((await load).errors, {});
    }
    assert.deepEqual((await inbound.finish()).errors, {});
    assert.deepEqual((await outbound.finish()).errors, {});
  });

  test('SIGTERM while connections are open: main ends before Kubernetes would kill it, they go on, and the next agent takes over', async () => {
    const inbound = await hold(outsider, server.ipv4, 9000, 50);
    const outbound = await hold(server, outsider.ipv4, 9000, 50);
    process.kill(agent.pid, 'SIGTERM');
    const begin = performance.now();
    await agent.exited();
    assert.ok(performance.now() - begin < 30_000);
    assert.ok(agent.lines.some((line) => line.msg === 'workers with open connections go on alone'));
    agent = await LabAgent.start(lab.node('a'));
    assert.deepEqual((await churn(outsider, server.ipv4, 9000, 1000, 16, 0)).errors, {});
    assert.deepEqual((await inbound.finish()).errors, {});
    assert.deepEqual((await outbound.finish()).errors, {});
    await waitUntil(() => lab.node('a').workerPids().length === 2, 10_000, 'the old workers are gone');
  });
});
