/** What controllers write to a real API server, with the rights of deploy/rbac: their Lease, taints of nodes, Events of pods. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { startupTaint } from '../../mesh/startup-taint.ts';
import { microTime } from '../../control-plane/leadership/lease.ts';
import { Cluster } from './cluster.ts';
import { apiServer } from './layout.ts';
import { ProcessMesh } from './mesh.ts';
import type { Node } from './node.ts';
import { app } from './objects.ts';
import { teardown } from './teardown.ts';
import { Workloads } from './workloads.ts';

const name = 'writes';
const namespace = 'shop';
const weftNamespace = 'weft-system';
const leaseMs = 15_000;
const retryMs = 4400; // two seconds and up to 1.2 times as much

interface Lease {
  readonly spec: { readonly holderIdentity: string; readonly leaseTransitions: number; readonly renewTime: string };
}

suite('what controllers write', () => {
  let cluster: Cluster;
  let mesh: ProcessMesh;
  let shop: Workloads;
  let node: Node;

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name, nodes: 1 });
    const [first] = cluster.nodes;
    assert.ok(first);
    node = first;
    mesh = new ProcessMesh(cluster);
    shop = new Workloads(cluster, namespace);
    const labels = { 'weft.dev/mesh': 'enabled' };
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } }]);
    await cluster.apply(app({ name: 'web', namespace, replicas: 1 }));
    await shop.rollout('web');
  });

  after(async () => {
    await teardown(name);
  });

  async function until(what: string, deadlineMs: number, holds: () => Promise<boolean>): Promise<number> {
    const started = performance.now();
    while (!(await holds())) {
      assert.ok(performance.now() - started < deadlineMs, `${what}: not after ${deadlineMs} ms`);
      await delay(50);
    }
    return Math.round(performance.now() - started);
  }

  async function lease(): Promise<Lease['spec']> {
    const text = await cluster.kubectl(['get', 'lease', '-n', weftNamespace, 'weft-controller', '-o', 'json']);
    return (JSON.parse(text) as Lease).spec;
  }

  async function taints(): Promise<string[]> {
    const text = await cluster.kubectl(['get', 'node', node.name, '-o', 'jsonpath={.spec.taints[*].key}']);
    return text.split(' ').filter(Boolean);
  }

  async function describePod(): Promise<string> {
    const [pod] = await shop.podsOf('web');
    return shop.kubectl('describe', 'pod', pod?.metadata.name ?? '');
  }

  /** With its rights: kubectl would read what it patches. */
  async function patchAsController(path: string, change: object): Promise<{ status: number; text: string }> {
    const token = (await cluster.kubectl(['create', 'token', 'weft-controller', '-n', weftNamespace])).trim();
    const { stdout } = await cluster.run([
      ...['curl', '--silent', '--max-time', '10', '--write-out', '\n%{http_code}', '--request', 'PATCH'],
      ...['--cacert', cluster.controlPlane.certificates.path('ca.crt'), '--header', `Authorization: Bearer ${token}`],
      ...['--header', 'Content-Type: application/merge-patch+json', '--data', JSON.stringify(change)],
      `https://${apiServer.address}:${apiServer.port}${path}`,
    ]);
    const [status = ''] = stdout.split('\n').slice(-1);
    return { status: Number(status), text: stdout };
  }

  /** Node and pod are on one machine, so it is the node that does not let its own packets through. */
  async function setFirewall(isUp: boolean): Promise<void> {
    const [pod] = await shop.podsOf('web');
    const rule = `ip daddr ${pod?.status.podIP ?? ''} tcp flags & (syn | ack) == syn drop`;
    const table = `table ip block { chain out { type filter hook output priority 0; ${rule}; }; }`;
    await node.machine.must(['nft', isUp ? table : 'delete table ip block']);
  }

  test('nodes keep the start-up taint until their agent is ready, and what others have put there longer', async (t) => {
    const other = 'other.io/maintenance';
    for (const taint of ['first.io/x=1:NoSchedule', `${startupTaint}=:NoSchedule`, `${other}=:PreferNoSchedule`])
      await cluster.kubectl(['taint', 'node', node.name, taint]);
    await cluster.kubectl(['taint', 'node', node.name, `${startupTaint}=true:NoExecute`]);
    await mesh.up();
    t.diagnostic(
      `lifted after ${await until('lifted', 20_000, async () => !(await taints()).includes(startupTaint))} ms`,
    );
    assert.deepEqual((await taints()).sort(), ['first.io/x', other]);
    await cluster.kubectl(['taint', 'node', node.name, 'first.io/x-', `${other}-`]);
    await shop.rollout('web');
  });

  test('of nodes a controller may change nothing else', async () => {
    const nodePath = `/api/v1/nodes/${node.name}`;
    const other = { key: 'other.io/x', effect: 'PreferNoSchedule' };
    await cluster.kubectl(['taint', 'node', node.name, `${other.key}=:${other.effect}`]);
    const refused: object[] = [
      { metadata: { labels: { x: 'y' } } },
      { metadata: { annotations: { x: 'y' } } },
      { spec: { unschedulable: true } },
      { spec: { taints: [other, { key: 'another.io/x', effect: 'NoSchedule' }] } },
      { spec: { taints: [other, { key: startupTaint, effect: 'NoSchedule' }] } },
      { spec: { taints: null } },
    ];
    for (const change of refused) {
      const { status, text } = await patchAsController(nodePath, change);
      assert.equal(status, 422, JSON.stringify(change) + text);
      assert.match(text, /weft-controller may /);
    }
    await cluster.kubectl(['taint', 'node', node.name, `${startupTaint}=:NoSchedule`]);
    await until('lifted', 20_000, async () => !(await taints()).includes(startupTaint));
    assert.deepEqual(await taints(), [other.key]);
    await cluster.kubectl(['taint', 'node', node.name, `${other.key}-`]);
  });

  test('the Lease says who leads, and is renewed', async () => {
    const { holderIdentity, renewTime } = await lease();
    assert.match(holderIdentity, /_[0-9a-f-]{36}$/);
    await until('renewed', 5000, async () => (await lease()).renewTime !== renewTime);
    assert.equal((await lease()).holderIdentity, holderIdentity);
  });

  test('kubectl describe pod says why a pod is not in the mesh', async (t) => {
    await shop.kubectl('label', 'namespace', namespace, 'weft.dev/mesh-');
    await until('released', 20_000, () =>
      Promise.resolve(mesh.agentLines(node).some(({ msg }) => msg === 'pod left the mesh')),
    );
    await setFirewall(true);
    await shop.kubectl('label', 'namespace', namespace, 'weft.dev/mesh=enabled');
    let text = '';
    const took = await until('told', 60_000, async () => (text = await describePod()).includes('NotInMesh'));
    t.diagnostic(`told after ${took} ms`);
    t.diagnostic(text.split('\n').find((line) => line.includes('NotInMesh')) ?? '');
    assert.match(text, /Warning +NotInMesh .* weft\.dev\/controller.* +WEFT-E102 .*Look whether/);
    await setFirewall(false);
    // As it goes on after five minutes.
    const selector = '--field-selector=reason=NotInMesh';
    const name = (await shop.kubectl('get', 'events.v1.events.k8s.io', selector, '-o', 'name')).trim().split('/')[1];
    const path = `/apis/events.k8s.io/v1/namespaces/${namespace}/events/${name ?? ''}`;
    const change = { series: { count: 2, lastObservedTime: microTime(Date.now()) } };
    assert.equal((await patchAsController(path, change)).status, 200);
    assert.match(await describePod(), /NotInMesh .*\(x2 over /);
  });

  test('and what of its annotations cannot be read, though it is in the mesh', async () => {
    const annotation = 'config.linkerd.io/skip-inbound-ports';
    const annotate = (change: string): Promise<string> => shop.kubectl('annotate', 'namespace', namespace, change);
    await annotate(`${annotation}=80,many`);
    let text = '';
    await until('told', 60_000, async () => (text = await describePod()).includes('MeshAnnotationUnreadable'));
    assert.match(text, /Warning +MeshAnnotationUnreadable .* +WEFT-E107 .*skip-inbound-ports.*many/);
    await annotate(`${annotation}-`);
  });

  test('a leader that is killed is followed once its Lease is over', async (t) => {
    const before = await lease();
    await mesh.killController();
    await mesh.startController();
    const taken = await until(
      'taken',
      leaseMs + retryMs + 5000,
      async () => (await lease()).holderIdentity !== before.holderIdentity,
    );
    t.diagnostic(`followed ${taken} ms after the next one was ready`);
    assert.equal((await lease()).leaseTransitions, before.leaseTransitions + 1);
  });
});
