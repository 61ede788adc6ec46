import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { anonymousBytes, cpuSeconds, residentBytes } from '../bench/processes.ts';
import { must } from '../lab/command.ts';
import { Cluster } from './cluster.ts';
import { apiServer } from './layout.ts';
import { ProcessMesh } from './mesh.ts';
import type { Fault } from './scale/world.ts';
import { WorldProcess } from './scale/world-process.ts';
import { teardown } from './teardown.ts';

const name = 'scale';
const namespace = 'crowd';
const plan = { namespace, nodes: 20, pods: 5000, services: 500 };
const proxy = { host: apiServer.address, port: 7443 };
const memoryMegabytes = 300;
const bundle = new URL('../../deploy/image/bundle.ts', import.meta.url).pathname;
const changes = 200;
const restMs = 20_000;
/** For each kind of object a fault may cost a few requests, never one after the other. */
const requestsPerFault = 60;

suite(`${plan.pods} pods, ${plan.services} Services, ${plan.nodes} agents, on a real API server`, () => {
  let cluster: Cluster;
  let mesh: ProcessMesh;
  let world: WorldProcess | undefined;
  const folder = mkdtempSync(join(tmpdir(), 'weft-scale-'));

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name, nodes: 1 });
    // As it is in the image: from its sources it would keep their compiler in memory, too.
    const image = join(folder, 'image');
    must(process.execPath, bundle, image);
    const home = join(image, 'opt/weft');
    mesh = new ProcessMesh(cluster, [join(home, 'bin/node'), join(home, 'lib/weft-controller.js')]);
    await mesh.up();
    const { machine, certificates, adminConfig } = cluster.controlPlane;
    const options = {
      plan,
      kubeconfig: adminConfig,
      pki: certificates.folder,
      apiServer: `https://${apiServer.address}:${apiServer.port}`,
      proxy,
      controller: mesh.controllerUrl,
      anchors: mesh.anchorsFile,
      serverName: mesh.controllerName,
      folder,
    };
    world = new WorldProcess(options, (command) => machine.commandOutside(command));
    await world.call('startProxy');
    await mesh.killController();
    await mesh.startController(`https://${proxy.host}:${proxy.port}`);
    const object = { metadata: { name: namespace, labels: { 'weft.dev/mesh': 'enabled' } } };
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', ...object }]);
    await cluster.kubectl(['wait', '--for=create', '-n', namespace, 'serviceaccount/default', '--timeout=60s']);
    await world.call('createNodes');
    // It would notice that nobody is behind the nodes.
    for (const pid of machine.pidsOf('kube-controller-manager')) process.kill(pid, 'SIGKILL');
  });

  after(async () => {
    world?.end();
    await teardown(name);
    rmSync(folder, { recursive: true, force: true });
  });

  function controllerPid(): number {
    const [pid] = mesh.controllerPids();
    assert.ok(pid !== undefined);
    return pid;
  }

  const figure = (...measured: number[]): string =>
    measured.map((value) => value.toFixed(value < 10 ? 1 : 0)).join(' / ');

  function assertMemory(t: TestContext): void {
    const [own, resident] = [anonymousBytes, residentBytes].map((bytes) => bytes([controllerPid()]) / 1e6) as [
      number,
      number,
    ];
    t.diagnostic(`memory of the controller: ${figure(own)} MB, ${figure(resident)} with pages of files`);
    assert.ok(own <= memoryMegabytes, `${own} MB`);
  }

  test('everything is told to every agent, within the memory that is promised', async (t) => {
    assert.ok(world);
    const begun = performance.now();
    await world.call('createPods');
    await world.call('createServices');
    t.diagnostic(`the objects were made in ${figure((performance.now() - begun) / 1000)} s`);
    const took = await world.call('connectAgents');
    t.diagnostic(`${plan.nodes} agents know all Services ${figure(took)} ms after their start`);
    assertMemory(t);
  });

  test('an EndpointSlice that changes reaches all agents', async (t) => {
    assert.ok(world);
    const done = await world.call('changeSlices', changes);
    assert.equal(done.length, changes);
    const spread = (values: number[]): string => {
      const sorted = values.sort((a, b) => a - b);
      return figure(...[0.5, 0.9, 0.99, 1 - 1e-9].map((share) => sorted[Math.floor(sorted.length * share)] ?? NaN));
    };
    const known = done.map(({ knownMs }) => knownMs);
    t.diagnostic(`from the write to the last agent, p50 / p90 / p99 / max: ${spread(known)} ms`);
    const written = done.map(({ writtenMs }) => writtenMs);
    t.diagnostic(`until the API server has answered the write, of these: ${spread(written)} ms`);
    const afterwards = done.map(({ knownMs, writtenMs }) => Math.max(0, knownMs - writtenMs));
    t.diagnostic(`from its answer to the last agent: ${spread(afterwards)} ms`);
  });

  test('nothing happens, and the controller does as little', async (t) => {
    const pid = controllerPid();
    const earlier = cpuSeconds([pid]);
    await delay(restMs);
    const share = ((cpuSeconds([pid]) - earlier) * 1000) / restMs;
    t.diagnostic(`CPU of the controller at rest: ${figure(share * 100)} % of a core`);
    assert.ok(share < 0.2, `${share}`); // a loop that does not end would take all of it
  });

  const faults: readonly { fault: Fault; lastsMs: number; title: string }[] = [
    { fault: 'reset', lastsMs: 0, title: 'its connections are reset' },
    { fault: 'expired', lastsMs: 0, title: 'its watches end, and are told 410' },
    { fault: 'failing', lastsMs: 10_000, title: 'all that it asks is answered with 500, for 10 s' },
    { fault: 'silent', lastsMs: 40_000, title: 'not one byte passes, for 40 s' },
  ];
  for (const { fault, lastsMs, title } of faults) {
    test(`the API server through a bad network: ${title}. Nothing is missed, and it is not stormed`, async (t) => {
      assert.ok(world);
      const { agreedAfterMs, requests } = await world.call('withFault', fault, lastsMs);
      const { lists, watches, others } = requests;
      t.diagnostic(
        `agents know everything after ${figure(agreedAfterMs)} ms; ${lists} lists, ${watches} watches, ${others} others`,
      );
      assert.ok(watches > 0, 'it has not watched anew, so there was no fault');
      assert.ok(lists + watches + others <= requestsPerFault, JSON.stringify(requests));
    });
  }

  test('its memory is what it was', (t) => {
    assertMemory(t);
  });
});
