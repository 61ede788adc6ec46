import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { parseAllDocuments } from 'yaml';

import { tokenAudience } from '../../control-plane/identity/token-authority.ts';
import { identitySuffix } from '../../mesh/identity-name.ts';
import { cgroup2Mount } from '../lab/layout.ts';
import { processesBelow } from './cgroups.ts';
import type { Cluster } from './cluster.ts';
import { imageNames } from './images.ts';
import { apiServer } from './layout.ts';
import type { Machine } from './machine.ts';
import type { Node } from './node.ts';

const namespace = 'weft-system';
const port = 8086;
/** Where agents and the controller serve metrics to who has a token. */
export const metricsPorts = { agent: 4192, controller: 9991 } as const;
const startDeadlineMs = 30_000;
const home = '/var/lib/weft-controller';
const tokenLife = '8h';
const fromSources = [process.execPath, path('control-plane/main.ts')] as const;
const plugin = { type: 'weft-cni', binary: path('build/weft-cni') } as const;

export interface LogLine {
  readonly msg: string;
  readonly level: number;
  readonly [key: string]: unknown;
}

/**
 * Weft as processes of the cluster's machines: an agent on each node, the controller beside the API server. Its rights and tokens are
 * those that it has as pods; a DaemonSet of pods that only hold their place stands for the agents', as a token is bound to a pod.
 */
export class ProcessMesh {
  readonly cluster: Cluster;
  readonly #controller: readonly [runtime: string, program: string];

  constructor(cluster: Cluster, controller: readonly [runtime: string, program: string] = fromSources) {
    this.cluster = cluster;
    this.#controller = controller;
  }

  async up(): Promise<void> {
    await this.cluster.apply(objects());
    await this.startController();
    await this.cluster.kubectl(['rollout', 'status', '-n', namespace, 'daemonset/weft-agent', '--timeout=60s']);
    await Promise.all(this.cluster.nodes.map((node) => this.startAgent(node)));
    for (const node of this.cluster.nodes) node.chain(plugin.binary, { type: plugin.type });
  }

  /** @param server where it finds the API server */
  async startController(server = `https://${apiServer.address}:${apiServer.port}`): Promise<void> {
    const { machine, certificates } = this.cluster.controlPlane;
    const token = await this.#token('weft-controller', []);
    mkdirSync(machine.path(home), { recursive: true, mode: 0o700 });
    const authority = readFileSync(certificates.path('ca.crt')).toString('base64');
    const kubeconfig = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'weft', cluster: { server, 'certificate-authority-data': authority } }],
      users: [{ name: 'weft-controller', user: { token } }],
      contexts: [{ name: 'weft', context: { cluster: 'weft', user: 'weft-controller' } }],
      'current-context': 'weft',
    };
    writeFileSync(machine.path(`${home}/kubeconfig`), JSON.stringify(kubeconfig), { mode: 0o600 });
    const flags = [
      ['--kubernetes', '--kubeconfig', `${home}/kubeconfig`],
      ['--listen', `${apiServer.address}:${port}`],
      ['--metrics', `${apiServer.address}:${metricsPorts.controller}`],
    ].flat();
    const earlier = readies(this.controllerLines());
    machine.daemon('weft-controller', [...this.#controller, ...flags]);
    await this.#ready('the controller', earlier, () => this.controllerLines());
  }

  async startAgent(node: Node): Promise<void> {
    const { machine } = node;
    const [pod] = await this.#agentPods(node);
    if (pod === undefined) throw new Error(`${node.name} has no pod of weft-agent`);
    const bound = ['--bound-object-kind=Pod', `--bound-object-name=${pod}`, `--audience=${tokenAudience}`];
    mkdirSync(machine.path('/run/weft'), { recursive: true });
    writeFileSync(machine.path('/run/weft/token'), await this.#token('weft-agent', bound), { mode: 0o600 });
    const anchors = readFileSync(this.anchorsFile);
    writeFileSync(machine.path('/run/weft/ca.crt'), anchors);
    const cgroup = join(cgroup2Mount(), machine.cgroup);
    const flags = [
      ['--controller', this.controllerUrl],
      ['--controller-ca', '/run/weft/ca.crt'],
      ['--token-file', '/run/weft/token'],
      ['--node-name', node.name],
      ['--metrics', `[::]:${metricsPorts.agent}`],
      ['--cgroup', cgroup], // of this node alone: the kernel is that of all of them
      ['--agent-cgroup', join(cgroup, 'weft-agent')],
      ['--kubelet-cgroup', join(cgroup, 'kubelet')],
      ['--workers', '2'],
    ].flat();
    const earlier = readies(this.agentLines(node));
    machine.daemon('weft-agent', [process.execPath, path('node-agent/main/main.ts'), ...flags]);
    await this.#ready(`the agent of ${node.name}`, earlier, () => this.agentLines(node));
  }

  /** With no grace. */
  killController(): Promise<void> {
    return killAll(this.cluster.controlPlane.machine, isOf(this.#controller[1]));
  }

  /** With no grace: main, broker and workers. */
  killAgent(node: Node): Promise<void> {
    return killAll(node.machine, (pid) => cgroupOf(pid).endsWith('/weft-agent'));
  }

  /** With no grace, but the workers stay. */
  killAgentMain(node: Node): Promise<void> {
    return killAll(node.machine, isOf(path('node-agent/main/main.ts')));
  }

  controllerPids(): number[] {
    return processesBelow(this.cluster.controlPlane.machine.cgroup).filter(isOf(this.#controller[1]));
  }

  get controllerUrl(): string {
    return `https://${apiServer.address}:${port}`;
  }

  /** In the controller's certificate. */
  get controllerName(): string {
    const mesh = { controlPlaneNamespace: namespace, trustDomain: 'cluster.local' };
    return `weft-controller.${namespace}${identitySuffix(mesh)}`;
  }

  /** Of the controller's certificate; seen from outside of the machines. */
  get anchorsFile(): string {
    return this.cluster.controlPlane.machine.path(`${home}/issuer/ca.crt`);
  }

  controllerLines(): LogLine[] {
    return linesOf(this.cluster.controlPlane.machine.log('weft-controller'));
  }

  agentLines(node: Node): LogLine[] {
    return linesOf(node.machine.log('weft-agent'));
  }

  async #agentPods(node: Node): Promise<string[]> {
    const selectors = ['-l', 'app=weft-agent', `--field-selector=spec.nodeName=${node.name}`];
    const names = await this.cluster.kubectl(['get', 'pods', '-n', namespace, ...selectors, '-o', 'name']);
    return names
      .split('\n')
      .filter(Boolean)
      .map((name) => name.replace('pod/', ''));
  }

  async #token(account: string, options: readonly string[]): Promise<string> {
    const life = `--duration=${tokenLife}`;
    return (await this.cluster.kubectl(['create', 'token', account, '-n', namespace, life, ...options])).trim();
  }

  async #ready(who: string, earlier: number, lines: () => LogLine[]): Promise<void> {
    const deadline = performance.now() + startDeadlineMs;
    while (readies(lines()) === earlier) {
      if (performance.now() > deadline) throw new Error(`${who} does not start: ${JSON.stringify(lines().slice(-20))}`);
      await delay(100);
    }
  }
}

/** Logs go on where an earlier process left off. */
function readies(lines: readonly LogLine[]): number {
  return lines.filter(({ msg }) => msg === 'ready').length;
}

async function killAll(machine: Machine, matches: (pid: number) => boolean): Promise<void> {
  const deadline = performance.now() + startDeadlineMs;
  for (;;) {
    const pids = processesBelow(machine.cgroup).filter(matches);
    if (pids.length === 0) return;
    if (performance.now() > deadline) throw new Error(`processes ${pids.join(', ')} do not end`);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await delay(20);
  }
}

function isOf(program: string): (pid: number) => boolean {
  return (pid) => {
    const [, file = ''] = read(`/proc/${pid}/cmdline`).split('\0');
    return file === program;
  };
}

function cgroupOf(pid: number): string {
  return /^0::(.*)$/m.exec(read(`/proc/${pid}/cgroup`))?.[1] ?? '';
}

/** Nothing where the process has just ended. */
function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

function objects(): object[] {
  const role = readFileSync(path('deploy/rbac/controller.yaml'), 'utf8');
  const account = { kind: 'ServiceAccount', name: 'weft-controller', namespace };
  const labels = { app: 'weft-agent' };
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'weft-controller', namespace } },
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'weft-agent', namespace } },
    ...parseAllDocuments(role).map((document) => document.toJS() as object),
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'weft-controller' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'weft-controller' },
      subjects: [account],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: { name: 'weft-controller', namespace },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'weft-controller' },
      subjects: [account],
    },
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: 'weft-agent', namespace },
      spec: {
        selector: { matchLabels: labels },
        template: {
          metadata: { labels },
          spec: {
            serviceAccountName: 'weft-agent',
            automountServiceAccountToken: false,
            hostNetwork: true,
            terminationGracePeriodSeconds: 0,
            tolerations: [{ operator: 'Exists' }],
            containers: [{ name: 'place', image: imageNames.pause, imagePullPolicy: 'Never' }],
          },
        },
      },
    },
  ];
}

function linesOf(log: string): LogLine[] {
  let text: string;
  try {
    text = readFileSync(log, 'utf8');
  } catch {
    return []; // it has not said anything yet
  }
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      try {
        return JSON.parse(line) as LogLine;
      } catch {
        return { msg: line, level: 0 };
      }
    });
}

function path(file: string): string {
  return new URL(`../../${file}`, import.meta.url).pathname;
}
