import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';

import { FakeApiServer } from '../../control-plane/sources/kubernetes/fake-api-server.ts';
import { version } from '../../mesh/version.ts';
import { Cluster } from './cluster.ts';
import { Facts } from './facts.ts';
import type { KubeObject } from './objects.ts';
import { TestPorts } from './test-ports.ts';

/** What a controller or an agent answers. */
export interface TestAdmin {
  ready: { status: number; text: string };
  /** A line each, without values that follow from the time. */
  metrics: Map<string, string>;
}

export const ownNamespace = 'weft-system';
export const nodeNames = ['node-1', 'node-2'] as const;

const namespaces = '/api/v1/namespaces';
const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases';
const daySeconds = 86_400;

/** An API server with objects at paths, whose clock may be set, and with pods that answer on their admin ports. */
export class TestCluster {
  readonly server = new FakeApiServer([]);
  readonly ports = new TestPorts(this.server);
  /** VERB RESOURCE */
  readonly denied = new Set<string>();
  readonly deniedToOthers = new Set<string>();
  gitVersion = 'v1.36.1';
  #access: Awaited<ReturnType<FakeApiServer['listen']>> | undefined;

  static async start(t: TestContext): Promise<TestCluster> {
    const cluster = new TestCluster();
    cluster.#access = await cluster.server.listen();
    t.after(() => cluster.server.close());
    cluster.server.handlers.set('/version', () => ({ status: 200, body: { gitVersion: cluster.gitVersion } }));
    for (const [kind, denied] of [
      ['selfsubjectaccessreviews', cluster.denied],
      ['subjectaccessreviews', cluster.deniedToOthers],
    ] as const)
      cluster.server.handlers.set(`/apis/authorization.k8s.io/v1/${kind}`, ({ body }) => {
        const { spec } = JSON.parse(body) as { spec: { resourceAttributes: { verb: string; resource: string } } };
        const { verb, resource } = spec.resourceAttributes;
        return { status: 201, body: { status: { allowed: !denied.has(`${verb} ${resource}`) } } };
      });
    return cluster;
  }

  facts(t: TestContext): Facts {
    const access = this.#access;
    if (access === undefined) throw new Error('it has not started');
    const facts = new Facts(() => new Cluster(access), ownNamespace);
    t.after(() => facts.close());
    return facts;
  }

  /** A file that leads here. */
  kubeconfig(t: TestContext): string {
    const folder = mkdtempSync(join(tmpdir(), 'weft-cli-'));
    t.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, 'config');
    writeFileSync(file, kubeconfigText({ server: `http://127.0.0.1:${this.server.port}` }));
    return file;
  }

  readonly #objects = new Map<string, Map<string, KubeObject>>();

  put(path: string, object: KubeObject): void {
    const { name } = object.metadata;
    const objects = this.#objects.get(path) ?? new Map<string, KubeObject>();
    this.#objects.set(path, objects.set(name, object));
    this.server.handlers.set(path, ({ url }) => ({
      status: 200,
      body: { items: [...objects.values()].filter((one) => isSelected(one, url.searchParams.get('labelSelector'))) },
    }));
    this.server.handlers.set(`${path}/${name}`, () => {
      const found = objects.get(name);
      return found && { status: 200, body: found };
    });
  }

  get(path: string, name: string): KubeObject {
    const found = this.#objects.get(path)?.get(name);
    if (found === undefined) throw new Error(`there is no ${path}/${name}`);
    return found;
  }

  change(path: string, name: string, part: object): void {
    this.put(path, merged(this.get(path, name), part) as KubeObject);
  }

  remove(path: string, name: string): void {
    this.#objects.get(path)?.delete(name);
  }

  /** What the pod answers on the port, through the API server. */
  answer(pod: string, port: number, admin: TestAdmin): void {
    this.ports.set(`${ownNamespace}/${pod}`, port, (path) => {
      if (path === '/ready') return admin.ready;
      if (path !== '/metrics') return { status: 404, text: '' };
      return { status: 200, text: [...admin.metrics].map(([series, value]) => `${series} ${value}\n`).join('') };
    });
  }

  /** As if nothing listened there. */
  silence(pod: string, port: number): void {
    this.ports.set(`${ownNamespace}/${pod}`, port, 'refused');
  }
}

/** Of one context, "test". */
export function kubeconfigText({
  server,
  name = 'test',
  user = {},
}: {
  server: string;
  name?: string;
  user?: object;
}): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name, user }],
    contexts: [{ name, context: { cluster: name, user: name } }],
  });
}

function isSelected({ metadata: { labels = {} } }: KubeObject, selector: string | null): boolean {
  if (selector === null) return true;
  return selector.split(',').every((part) => {
    const [name = '', value] = part.split('=');
    return labels[name] === value;
  });
}

function merged(base: unknown, part: unknown): unknown {
  if (typeof base !== 'object' || typeof part !== 'object' || base === null || part === null) return part;
  if (Array.isArray(base) || Array.isArray(part)) return part;
  const names = new Set([...Object.keys(base), ...Object.keys(part)]);
  const of = (object: object, name: string): unknown => (object as Record<string, unknown>)[name];
  return Object.fromEntries(
    [...names].map((name) => [name, name in part ? merged(of(base, name), of(part, name)) : of(base, name)]),
  );
}

export const paths = {
  namespaces,
  nodes: '/api/v1/nodes',
  leases,
  pods: '/api/v1/pods',
  ownPods: `${namespaces}/${ownNamespace}/pods`,
  accounts: `${namespaces}/${ownNamespace}/serviceaccounts`,
  deployments: `/apis/apps/v1/namespaces/${ownNamespace}/deployments`,
  daemonSets: `/apis/apps/v1/namespaces/${ownNamespace}/daemonsets`,
  allDaemonSets: '/apis/apps/v1/daemonsets',
  clusterRoles: '/apis/rbac.authorization.k8s.io/v1/clusterroles',
  clusterRoleBindings: '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings',
  kubeConfigMaps: `${namespaces}/kube-system/configmaps`,
} as const;

const ready = [{ type: 'Ready', status: 'True' }];

/** Two nodes that are as they should be. */
export function addNodes(cluster: TestCluster, now = Date.now()): void {
  for (const name of nodeNames) {
    const nodeInfo = { kernelVersion: '6.12.41-amd64', operatingSystem: 'linux', architecture: 'amd64' };
    cluster.put(paths.nodes, { metadata: { name }, status: { conditions: ready, nodeInfo } } as KubeObject);
    const renewTime = new Date(now).toISOString().replace('Z', '000Z'); // microseconds, as kubelets write them
    cluster.put(paths.leases, { metadata: { name }, spec: { renewTime } } as KubeObject);
  }
}

export interface TestInstallation {
  readonly cluster: TestCluster;
  readonly controller: TestAdmin;
  readonly agents: readonly TestAdmin[];
}

/** An installation with nothing wrong: one controller, an agent on each node, and an opted-in pod on each. */
export function addInstallation(cluster: TestCluster): TestInstallation {
  const now = Date.now() / 1000;
  cluster.put(namespaces, { metadata: { name: ownNamespace } });
  cluster.put(namespaces, { metadata: { name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } } });
  for (const name of ['weft-controller', 'weft-agent']) cluster.put(paths.accounts, { metadata: { name } });
  cluster.put(paths.clusterRoles, { metadata: { name: 'weft-controller' } });
  cluster.put(paths.clusterRoleBindings, { metadata: { name: 'weft-controller' } });
  const selectorOf = (name: string) => ({ matchLabels: { 'app.kubernetes.io/name': name } });
  cluster.put(paths.deployments, {
    metadata: { name: 'weft-controller', generation: 1 },
    spec: { replicas: 1, selector: selectorOf('weft-controller') },
    status: { observedGeneration: 1, updatedReplicas: 1, readyReplicas: 1 },
  } as KubeObject);
  cluster.put(paths.daemonSets, {
    metadata: { name: 'weft-agent', generation: 1 },
    spec: { selector: selectorOf('weft-agent') },
    status: { observedGeneration: 1, desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberReady: 2 },
  } as KubeObject);
  addOwnPod(cluster, 'weft-controller', 'controller-1', 'node-1', false);
  const controller = admin([
    ['weft_build_info', { version }, 1],
    ['issuer_cert_ttl_seconds', {}, 365 * daySeconds],
    ['weft_controller_leader', {}, 1],
    ['weft_source_heard_timestamp_seconds', { kind: 'Pod' }, now],
  ]);
  cluster.answer('controller-1', 9990, controller);
  const agents = nodeNames.map((node) => {
    addOwnPod(cluster, 'weft-agent', `agent-${node}`, node, true);
    cluster.put(paths.pods, {
      metadata: { name: `web-${node}`, namespace: 'shop' },
      spec: { nodeName: node, containers: [{ name: 'web' }] },
      status: { phase: 'Running', conditions: ready },
    } as KubeObject);
    const told = admin([
      ['weft_build_info', { version }, 1],
      ['weft_directory_connected', {}, 1],
      ['weft_workers', { state: 'wanted' }, 2],
      ['weft_workers', { state: 'running' }, 2],
      ['weft_clock_skew_seconds', {}, 0.2],
      ['weft_node_feature', { feature: 'btf' }, 1],
      ['weft_foreign_programs', {}, 0],
      ['weft_cni_repairs', {}, 0],
      ['weft_pods', {}, 1],
      ['control_identity_cert_expiration_timestamp_seconds', { identity: 'web.shop' }, now + daySeconds],
    ]);
    cluster.answer(`agent-${node}`, 4191, told);
    return told;
  });
  return { cluster, controller, agents };
}

export function addOwnPod(
  cluster: TestCluster,
  app: string,
  name: string,
  nodeName: string,
  hostNetwork: boolean,
): void {
  cluster.put(paths.ownPods, {
    metadata: { name, namespace: ownNamespace, labels: { 'app.kubernetes.io/name': app } },
    spec: { nodeName, hostNetwork, containers: [{ name: app }] },
    status: { phase: 'Running', conditions: ready },
  } as KubeObject);
}

function admin(samples: readonly (readonly [string, Record<string, string>, number])[]): TestAdmin {
  const metrics = new Map(samples.map(([name, labels, value]) => [seriesOf(name, labels), String(value)]));
  return { ready: { status: 200, text: 'ready\n' }, metrics };
}

export function seriesOf(name: string, labels: Record<string, string> = {}): string {
  const parts = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return parts.length === 0 ? name : `${name}{${parts.join()}}`;
}
