import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { parseAllDocuments } from 'yaml';

import { startupTaint } from '../../../mesh/startup-taint.ts';
import type { Right } from '../../cluster/cluster.ts';
import type { TestInstallation } from '../../cluster/test-cluster.ts';
import {
  TestCluster,
  addInstallation,
  addNodes,
  addOwnPod,
  ownNamespace,
  paths,
  seriesOf,
} from '../../cluster/test-cluster.ts';
import type { CheckResult } from '../runner.ts';
import { runChecks } from '../runner.ts';
import { installed, preInstallation } from './all.ts';
import { controllerRights } from './existence.ts';

/** What makes a check red, and what it then says; `also` turns red as well, as it follows. */
interface Case {
  readonly break: (installation: TestInstallation) => void;
  readonly says: RegExp;
  readonly also?: readonly string[];
}

const day = 86_400;

function setMetric(agent: number, series: string, value: number | undefined): Case['break'] {
  return ({ agents }) => {
    const metrics = agents[agent]?.metrics;
    if (value === undefined) metrics?.delete(series);
    else metrics?.set(series, String(value));
  };
}

const everywhere: Record<string, readonly Case[]> = {
  'k8s-version': [
    { break: ({ cluster }) => (cluster.gitVersion = 'v1.30.9-eks-1'), says: /^the cluster runs v1\.30\.9-eks-1$/ },
    { break: ({ cluster }) => (cluster.gitVersion = 'none'), says: /none/ },
  ],
  'node-linux': [
    {
      break: ({ cluster }) => {
        for (const node of ['node-1', 'node-2'])
          cluster.change(paths.nodes, node, { status: { nodeInfo: { operatingSystem: 'windows' } } });
      },
      says: /^there is no Linux node$/,
      also: ['node-kernel', 'node-architecture'],
    },
  ],
  'node-kernel': [
    {
      break: ({ cluster }) =>
        cluster.change(paths.nodes, 'node-2', { status: { nodeInfo: { kernelVersion: '5.15.0-1' } } }),
      says: /^node-2 runs 5\.15\.0-1$/,
    },
  ],
  'node-architecture': [
    {
      break: ({ cluster }) =>
        cluster.change(paths.nodes, 'node-1', { status: { nodeInfo: { architecture: 'arm64' } } }),
      says: /^node-1 is arm64$/,
    },
  ],
  'node-cilium-socket-lb': [
    { break: cilium({ 'bpf-lb-sock': 'true', 'cni-exclusive': 'false' }), says: /socket load balancer/ },
    { break: cilium({ 'kube-proxy-replacement': 'true', 'cni-exclusive': 'false' }), says: /socket load balancer/ },
  ],
  'node-cilium-exclusive': [{ break: cilium({ 'bpf-lb-sock': 'false' }), says: /^Cilium is exclusive/ }],
  'node-other-mesh': [
    {
      break: ({ cluster }) =>
        cluster.put(paths.allDaemonSets, { metadata: { name: 'ztunnel', namespace: 'istio-system' } }),
      says: /^DaemonSet istio-system\/ztunnel is of Istio$/,
    },
  ],
  'pre-k8s-clock-skew': [
    { break: lease(120), says: /^node-1 is 1\d\d s ahead of the API server$/ },
    { break: lease(-300), says: /^node-1 is (?:299|30\d) s behind the API server, or its kubelet is silent$/ },
    {
      break: ({ cluster }) => {
        for (const node of ['node-1', 'node-2']) cluster.remove(paths.leases, node);
      },
      says: /^no node that is Ready/,
    },
  ],
};

const beforeInstallation: Record<string, readonly Case[]> = {
  ...everywhere,
  'pre-ns': [
    {
      break: ({ cluster }) => cluster.put(paths.namespaces, { metadata: { name: ownNamespace } }),
      says: /^the namespace "weft-system" already exists$/,
    },
  ],
  'pre-k8s-cluster-k8s': [
    {
      break: ({ cluster }) => cluster.denied.add('create clusterroles').add('create namespaces'),
      says: /^not allowed to create Namespaces, ClusterRoles$/,
    },
  ],
  'pre-k8s': [
    {
      break: ({ cluster }) => cluster.denied.add('create daemonsets'),
      says: /^not allowed to create daemonsets in the namespace "weft-system"$/,
    },
    {
      break: ({ cluster }) => cluster.denied.add('get secrets'),
      says: /^not allowed to get secrets in the namespace "weft-system"$/,
    },
  ],
  'pre-k8s-pod-security': [
    {
      break: ({ cluster }) =>
        cluster.put(paths.namespaces, {
          metadata: { name: ownNamespace, labels: { 'pod-security.kubernetes.io/enforce': 'baseline' } },
        }),
      says: /^the namespace "weft-system" enforces "baseline"$/,
      also: ['pre-ns'],
    },
  ],
};

const afterInstallation: Record<string, readonly Case[]> = {
  ...everywhere,
  'weft-existence-sa': [missing(paths.accounts, 'weft-agent', 'serviceaccounts')],
  'weft-existence-cr': [missing(paths.clusterRoles, 'weft-controller', 'clusterroles')],
  'weft-existence-crb': [missing(paths.clusterRoleBindings, 'weft-controller', 'clusterrolebindings')],
  'weft-existence-rights': [
    {
      break: ({ cluster }) => cluster.deniedToOthers.add('watch endpointslices').add('create tokenreviews'),
      says: /^system:serviceaccount:weft-system:weft-controller may not watch endpointslices, create tokenreviews$/,
    },
    {
      break: ({ cluster }) => cluster.deniedToOthers.add('update leases').add('patch nodes'),
      says: / may not patch nodes, update leases$/,
    },
  ],
  'weft-existence-unschedulable-pods': [
    {
      break: ({ cluster }) =>
        cluster.change(paths.ownPods, 'controller-1', {
          status: {
            conditions: [
              { type: 'Ready', status: 'True' },
              { type: 'PodScheduled', status: 'False', message: '0/2 nodes are available' },
            ],
          },
        }),
      says: /^weft-system\/controller-1: 0\/2 nodes are available$/,
    },
  ],
  'weft-controller-ready': [
    {
      break: ({ cluster }) => {
        cluster.change(paths.deployments, 'weft-controller', { status: { readyReplicas: 0 } });
        const waiting = { reason: 'ImagePullBackOff' };
        const status = { conditions: [], containerStatuses: [{ name: 'weft-controller', state: { waiting } }] };
        cluster.change(paths.ownPods, 'controller-1', { status });
      },
      says: /^0 of 1 replicas are ready, 1 are up to date\nweft-system\/controller-1 is not ready: ImagePullBackOff$/,
    },
    {
      break: ({ cluster }) => cluster.change(paths.deployments, 'weft-controller', { metadata: { generation: 2 } }),
      says: /^the last change is not rolled out yet$/,
    },
    {
      break: ({ cluster }) => cluster.change(paths.deployments, 'weft-controller', { spec: { replicas: 0 } }),
      says: /^it is scaled to 0 replicas$/,
    },
  ],
  'weft-agent-ready': [
    {
      break: ({ cluster }) => cluster.change(paths.daemonSets, 'weft-agent', { status: { numberReady: 1 } }),
      says: /^1 of 2 are ready, 2 are up to date$/,
    },
    {
      break: ({ cluster }) => cluster.change(paths.daemonSets, 'weft-agent', { status: { desiredNumberScheduled: 0 } }),
      says: /^no node is selected$/,
    },
  ],
  'weft-agent-every-node': [
    {
      break: ({ cluster }) =>
        cluster.put(paths.nodes, {
          metadata: { name: 'node-3' },
          status: { nodeInfo: { kernelVersion: '6.12.1', operatingSystem: 'linux', architecture: 'amd64' } },
        } as never),
      says: /^node-3 has none$/,
    },
  ],
  'weft-agent-startup-taint': [
    {
      break: ({ cluster }) =>
        cluster.change(paths.nodes, 'node-2', { spec: { taints: [{ key: 'other.io/x' }, { key: startupTaint }] } }),
      says: /^node-2 bears weft\.dev\/agent-not-ready$/,
    },
  ],
  'weft-controller-answers': [
    {
      break: ({ cluster }) => cluster.silence('controller-1', 9990),
      says: /^WEFT-E405 weft-system\/controller-1 port 9990: .*connection refused$/,
      also: [
        'weft-controller-works',
        'weft-controller-hears-api',
        'weft-controller-leader',
        'weft-issuer-is-time-valid',
        'weft-issuer-not-expiring-soon',
        'weft-version-control',
      ],
    },
  ],
  'weft-controller-works': [
    {
      break: ({ controller }) => (controller.ready = { status: 503, text: 'the objects have not been read yet\n' }),
      says: /^weft-system\/controller-1: the objects have not been read yet$/,
    },
  ],
  'weft-controller-hears-api': [
    {
      break: ({ controller }) =>
        controller.metrics.set(seriesOf('weft_source_heard_timestamp_seconds', { kind: 'Pod' }), '1700000000'),
      says: /^weft-system\/controller-1: nothing of Pod since 2023-11-14T22:13:20Z$/,
    },
    {
      break: ({ controller }) =>
        controller.metrics.delete(seriesOf('weft_source_heard_timestamp_seconds', { kind: 'Pod' })),
      says: /does not tell/,
    },
  ],
  'weft-controller-leader': [
    {
      break: ({ controller }) => controller.metrics.set('weft_controller_leader', '0'),
      says: /^none of 1 that answer says that it leads$/,
    },
    { break: ({ controller }) => controller.metrics.delete('weft_controller_leader'), says: /^none of 1/ },
    {
      break: ({ cluster, controller }) => {
        addOwnPod(cluster, 'weft-controller', 'controller-2', 'node-2', false);
        cluster.answer('controller-2', 9990, controller);
      },
      says: /^these say that they lead: weft-system\/controller-1, weft-system\/controller-2$/,
    },
  ],
  'weft-issuer-is-time-valid': [
    {
      break: ({ controller }) => controller.metrics.set('issuer_cert_ttl_seconds', String(-day / 2)),
      says: /: expired 1 days ago$/,
      also: ['weft-issuer-not-expiring-soon'],
    },
  ],
  'weft-issuer-not-expiring-soon': [
    {
      break: ({ controller }) => controller.metrics.set('issuer_cert_ttl_seconds', String(10.5 * day)),
      says: /: ends in 10 days$/,
    },
  ],
  'weft-identity-certificates': [
    {
      break: setMetric(1, seriesOf('control_identity_cert_expiration_timestamp_seconds', { identity: 'web.shop' }), 0),
      says: /^node-2: web\.shop ended 1970-01-01T00:00:00Z$/,
    },
  ],
  'weft-agent-answers': [
    {
      break: ({ cluster }) => {
        for (const node of ['node-1', 'node-2']) cluster.silence(`agent-${node}`, 4191);
      },
      says: /^WEFT-E405 weft-system\/agent-node-1 port 4191: .*connection refused\nWEFT-E405 /,
      also: [
        'weft-identity-certificates',
        'weft-agent-works',
        'weft-agent-connected',
        'weft-agent-workers',
        'weft-agent-clock-skew',
        'weft-agent-kernel',
        'weft-foreign-programs',
        'weft-cni-chain',
        'weft-pods-captured',
        'weft-version-agents',
      ],
    },
  ],
  'weft-agent-works': [
    {
      break: ({ agents: [first] }) =>
        first &&
        (first.ready = { status: 503, text: 'no worker runs\nWEFT-E306 the controller has not been reached yet\n' }),
      says: /^node-1: no worker runs\nnode-1: WEFT-E306 the controller has not been reached yet$/,
    },
  ],
  'weft-agent-connected': [
    { break: setMetric(1, 'weft_directory_connected', 0), says: /^node-2: it is not connected$/ },
    { break: setMetric(0, 'weft_directory_connected', undefined), says: /^node-1: it does not tell/ },
  ],
  'weft-agent-workers': [
    { break: setMetric(0, seriesOf('weft_workers', { state: 'running' }), 1), says: /^node-1: 1 of 2 run$/ },
  ],
  'weft-agent-clock-skew': [
    {
      break: setMetric(0, 'weft_clock_skew_seconds', -90),
      says: /^node-1: its clock is 90 s behind the controller's$/,
    },
  ],
  'weft-agent-kernel': [
    { break: setMetric(0, seriesOf('weft_node_feature', { feature: 'btf' }), 0), says: /^node-1: btf is missing$/ },
    {
      break: setMetric(0, seriesOf('weft_node_feature', { feature: 'btf' }), undefined),
      says: /^node-1: it does not tell of its kernel$/,
    },
  ],
  'weft-foreign-programs': [
    {
      break: setMetric(
        1,
        seriesOf('weft_foreign_program_info', { name: 'cil', id: '7', attach_type: 'connect4', cgroup: '/sys' }),
        1,
      ),
      says: /^node-2: program cil \(id 7\) at connect4 of \/sys$/,
    },
  ],
  'weft-cni-chain': [
    {
      break: ({ agents: [first] }) =>
        first && (first.ready = { status: 503, text: 'WEFT-E130 /etc/cni/net.d holds no network configuration\n' }),
      says: /^node-1: WEFT-E130 \/etc\/cni\/net\.d holds no network configuration$/,
      also: ['weft-agent-works'],
    },
    {
      break: setMetric(0, 'weft_cni_repairs', undefined),
      says: /^node-1: it looks after no CNI chain/,
    },
  ],
  'weft-pods-captured': [
    { break: setMetric(0, 'weft_pods', 0), says: /^node-1: 0 of 1 pods are captured$/ },
    {
      break: ({ cluster, ...rest }) => {
        setMetric(0, 'weft_pods', 0)({ cluster, ...rest });
        const labels = { namespace: 'shop', pod: 'web-node-1', code: 'WEFT-E103' };
        setMetric(0, seriesOf('weft_pod_not_meshable', labels), 1)({ cluster, ...rest });
      },
      says: /^shop\/web-node-1 on node-1: WEFT-E103$/,
    },
    {
      break: ({ cluster }) => cluster.change(paths.pods, 'web-node-2', { spec: { nodeName: 'node-9' } }),
      says: /^shop\/web-node-2: no agent answers on node-9$/,
    },
  ],
  'weft-version-control': [
    {
      break: ({ controller }) => replaceVersion(controller.metrics, '0.0.9'),
      says: /^weft-system\/controller-1: is version 0\.0\.9, expected /,
    },
  ],
  'weft-version-agents': [
    {
      break: ({ agents: [first] }) => first && replaceVersion(first.metrics, '0.0.9'),
      says: /^node-1: is version 0\.0\.9, expected /,
    },
  ],
};

/** These end the run. */
const fatal: Record<string, Case> = {
  'k8s-api': {
    break: ({ cluster }) => cluster.server.handlers.delete('/version'),
    says: /^WEFT-E403 \/version: .*404/,
  },
  'weft-existence-ns': missing(paths.namespaces, ownNamespace, 'namespaces'),
  'weft-existence-controller': missing(paths.deployments, 'weft-controller', 'deployments'),
  'weft-existence-agent': missing(paths.daemonSets, 'weft-agent', 'daemonsets'),
};

function missing(path: string, name: string, kind: string): Case {
  return { break: ({ cluster }) => cluster.remove(path, name), says: new RegExp(`^${kind}/${name} does not exist$`) };
}

function cilium(data: Record<string, string>): Case['break'] {
  return ({ cluster }) => cluster.put(paths.kubeConfigMaps, { metadata: { name: 'cilium-config' }, data } as never);
}

function lease(seconds: number): Case['break'] {
  return ({ cluster }) => {
    const renewTime = new Date(Date.now() + seconds * 1000).toISOString();
    cluster.change(paths.leases, 'node-1', { spec: { renewTime } });
  };
}

function replaceVersion(metrics: Map<string, string>, version: string): void {
  for (const series of metrics.keys()) if (series.startsWith('weft_build_info')) metrics.delete(series);
  metrics.set(seriesOf('weft_build_info', { version }), '1');
}

async function check(t: TestContext, isInstalled: boolean, broken?: Case): Promise<CheckResult[]> {
  const cluster = await TestCluster.start(t);
  addNodes(cluster);
  const nothing = { ready: { status: 200, text: '' }, metrics: new Map<string, string>() };
  const installation = isInstalled ? addInstallation(cluster) : { cluster, controller: nothing, agents: [] };
  broken?.break(installation);
  return runChecks(isInstalled ? installed(undefined) : preInstallation, cluster.facts(t), {
    waitMs: 0,
    signal: AbortSignal.timeout(20_000),
  });
}

function red(results: readonly CheckResult[]): string[] {
  return [...new Set(results.filter(({ result }) => result !== 'success').map((result) => result.check.id))];
}

for (const [title, isInstalled, cases] of [
  ['before an installation', false, beforeInstallation],
  ['of an installation', true, afterInstallation],
] as const) {
  test(`${title}, all checks are green where nothing is wrong`, async (t) => {
    const results = await check(t, isInstalled);
    assert.deepEqual(
      results.filter(({ problem }) => problem !== undefined),
      [],
    );
    const ids = new Set(results.map((result) => result.check.id));
    const seenRed = new Set([...Object.keys(cases), ...Object.keys(fatal), 'weft-version-cli']);
    assert.deepEqual(
      [...ids].filter((id) => !seenRed.has(id)),
      [],
      'each is seen red by a case',
    );
  });

  for (const [id, list] of Object.entries(cases))
    for (const [index, broken] of list.entries())
      test(`${title}, ${id} is red where it must be (${index + 1})`, async (t) => {
        const results = await check(t, isInstalled, broken);
        assert.deepEqual(red(results).sort(), [id, ...(broken.also ?? [])].sort());
        const found = results.find(({ check, problem }) => check.id === id && problem !== undefined);
        assert.match(found?.problem ?? '', broken.says);
        assert.equal(found?.result, found?.check.severity === 'warning' ? 'warning' : 'error');
      });
}

for (const [id, broken] of Object.entries(fatal))
  test(`${id} ends the run where it is red`, async (t) => {
    const last = (await check(t, true, broken)).at(-1);
    assert.deepEqual([last?.check.id, last?.result], [id, 'error']);
    assert.match(last?.problem ?? '', broken.says);
  });

test('the rights that are checked are those that the roles give', () => {
  interface Role {
    readonly kind: string;
    readonly rules?: readonly { apiGroups: string[]; resources: string[]; resourceNames?: string[]; verbs: string[] }[];
  }
  const file = readFileSync(new URL('../../../deploy/rbac/controller.yaml', import.meta.url), 'utf8');
  const roles = parseAllDocuments(file).map((document) => document.toJS() as Role);
  const gives = (right: Right) =>
    roles
      .filter(({ kind }) => kind === (right.namespace === undefined ? 'ClusterRole' : 'Role'))
      .flatMap(({ rules = [] }) => rules)
      .some(
        ({ apiGroups, resources, resourceNames, verbs }) =>
          apiGroups.includes(right.group) &&
          resources.includes(right.resource) &&
          verbs.includes(right.verb) &&
          resourceNames?.join() === right.name,
      );
  assert.deepEqual(
    controllerRights(ownNamespace).filter((right) => !gives(right)),
    [],
  );
});

test('the version that is expected may be another', async (t) => {
  const cluster = await TestCluster.start(t);
  addNodes(cluster);
  addInstallation(cluster);
  const results = await runChecks(installed('9.9.9'), cluster.facts(t), {
    waitMs: 0,
    signal: AbortSignal.timeout(20_000),
  });
  assert.deepEqual(red(results), ['weft-version-cli', 'weft-version-control', 'weft-version-agents']);
});

test('one agent that does not answer hides nothing of the others', async (t) => {
  const results = await check(t, true, {
    break: ({ cluster, agents: [, second] }) => {
      cluster.silence('agent-node-1', 4191);
      second?.metrics.set('weft_directory_connected', '0');
    },
    says: /./,
  });
  assert.deepEqual(red(results), ['weft-agent-answers', 'weft-agent-connected', 'weft-pods-captured']);
});
