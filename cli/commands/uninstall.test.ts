import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { parseAllDocuments } from 'yaml';

import type { KubeObject } from '../cluster/objects.ts';
import { TestCluster, addInstallation, addNodes, ownNamespace, paths } from '../cluster/test-cluster.ts';
import { testSurroundings } from '../test-surroundings.ts';
import { weft } from '../weft.ts';
import { commands } from './all.ts';

const labels = { 'app.kubernetes.io/part-of': 'weft' };
const all = ['list', 'delete'];

async function setUp(t: TestContext) {
  const cluster = await TestCluster.start(t);
  addNodes(cluster);
  addInstallation(cluster);
  const { handlers } = cluster.server;
  const kinds = (groupVersion: string, resources: object[]) => () => ({
    status: 200,
    body: { groupVersion, resources },
  });
  handlers.set('/apis', () => ({
    status: 200,
    body: {
      groups: [
        { preferredVersion: { groupVersion: 'apps/v1' } },
        { preferredVersion: { groupVersion: 'gone.example/v1' } },
      ],
    },
  }));
  handlers.set(
    '/api/v1',
    kinds('v1', [
      { name: 'namespaces', kind: 'Namespace', verbs: all },
      { name: 'pods', kind: 'Pod', verbs: all },
      { name: 'pods/log', kind: 'Pod', verbs: all },
      { name: 'services', kind: 'Service', verbs: all },
      { name: 'bindings', kind: 'Binding', verbs: ['create'] },
    ]),
  );
  handlers.set('/apis/apps/v1', kinds('apps/v1', [{ name: 'deployments', kind: 'Deployment', verbs: all }]));
  const run = async (...args: readonly string[]) => {
    const surroundings = testSurroundings({ environment: { KUBECONFIG: cluster.kubeconfig(t) } });
    const status = await weft(commands, ['uninstall', ...args], surroundings);
    return { status, ...surroundings.written() };
  };
  return { cluster, run };
}

test('what is labelled is printed, but for what its owner takes along', async (t) => {
  const { cluster, run } = await setUp(t);
  for (const node of ['node-1', 'node-2']) cluster.remove(paths.pods, `web-${node}`);
  cluster.put(paths.namespaces, { metadata: { name: ownNamespace, labels } });
  const own = { namespace: ownNamespace, labels };
  cluster.remove(paths.daemonSets, 'weft-agent');
  cluster.put('/apis/apps/v1/deployments', {
    metadata: { name: 'weft-controller', ...own },
    spec: { replicas: 1 },
  } as KubeObject);
  cluster.put('/api/v1/services', { metadata: { name: 'weft-controller', ...own } });
  cluster.put('/api/v1/services', { metadata: { name: 'web', namespace: 'shop' } });
  cluster.put('/api/v1/services', {
    metadata: { name: 'owned', ...own, ownerReferences: [{ kind: 'Deployment' }] },
  } as KubeObject);
  const { status, out, err } = await run();
  assert.deepEqual([status, err], [0, '']);
  assert.deepEqual(
    parseAllDocuments(out).map((document) => document.toJS() as unknown),
    [
      { apiVersion: 'v1', kind: 'Service', metadata: { name: 'weft-controller', namespace: ownNamespace } },
      { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'weft-controller', namespace: ownNamespace } },
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: ownNamespace } },
    ],
  );
});

test('it is refused while agents are on their nodes, unless they take Weft away or it is forced', async (t) => {
  const { cluster, run } = await setUp(t);
  for (const node of ['node-1', 'node-2']) cluster.remove(paths.pods, `web-${node}`);
  cluster.put(paths.namespaces, { metadata: { name: ownNamespace, labels } });
  assert.match((await run()).err, /^weft: WEFT-E408 agents are on their nodes: run `weft upgrade --set uninstall=true/);
  assert.equal((await run('--force')).status, 0);
  const template = { spec: { containers: [{ args: ['uninstall'] }] } };
  cluster.change(paths.daemonSets, 'weft-agent', { spec: { template }, status: { updatedNumberScheduled: 1 } });
  assert.match((await run()).err, /^weft: WEFT-E408 1 of 2 agents have taken Weft from their nodes/);
  cluster.change(paths.daemonSets, 'weft-agent', { status: { updatedNumberScheduled: 2 } });
  assert.equal((await run()).status, 0);
});

test('it is refused while pods are in the mesh, unless it is forced', async (t) => {
  const { cluster, run } = await setUp(t);
  cluster.put(paths.namespaces, { metadata: { name: ownNamespace, labels } });
  const refused = await run();
  assert.deepEqual([refused.status, refused.out], [1, '']);
  assert.match(refused.err, /^weft: WEFT-E407 pods of these namespaces are in the mesh: shop\. /);
  assert.match((await run('--force')).out, /^---\napiVersion: v1\nkind: Namespace\n/);
});

test('an API that somebody else serves and that is away hinders nothing', async (t) => {
  const { cluster, run } = await setUp(t);
  cluster.put(paths.namespaces, { metadata: { name: ownNamespace, labels } });
  const body = { kind: 'Status', message: 'the server is currently unable to handle the request' };
  cluster.server.handlers.set('/apis/gone.example/v1', () => ({ status: 503, body }));
  const { status, out, err } = await run('--force');
  assert.equal(status, 0);
  assert.match(out, /kind: Namespace/);
  assert.match(err, /^weft: left out: WEFT-E403 \/apis\/gone\.example\/v1: .*unable to handle the request\n$/);
});

test('where there is nothing, that is told', async (t) => {
  const { run } = await setUp(t);
  assert.match((await run('--force')).err, /^weft: WEFT-E404 nothing in the cluster is labelled/);
});
