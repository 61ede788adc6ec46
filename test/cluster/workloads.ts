import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';

import type { CommandResult } from '../lab/command.ts';
import type { Cluster } from './cluster.ts';
import type { Node } from './node.ts';

export const curl = ['curl', '-sS', '--fail', '--max-time', '5'] as const;

const aroundMs = 1000;

export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
  };
  readonly spec: { readonly nodeName: string };
  readonly status: {
    readonly podIP: string;
    readonly containerStatuses?: readonly { readonly restartCount: number; readonly ready: boolean }[];
  };
}

/** What runs in one namespace of a cluster, as a test looks at it. */
export class Workloads {
  readonly cluster: Cluster;
  readonly namespace: string;

  constructor(cluster: Cluster, namespace = 'default') {
    this.cluster = cluster;
    this.namespace = namespace;
  }

  kubectl(...args: readonly string[]): Promise<string> {
    return this.cluster.kubectl(['-n', this.namespace, ...args]);
  }

  async rollout(...deployments: readonly string[]): Promise<void> {
    for (const name of deployments) await this.kubectl('rollout', 'status', `deployment/${name}`, '--timeout=90s');
  }

  /** Without those that are on their way out. */
  async podsOf(app: string): Promise<Pod[]> {
    const list = await this.kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'json');
    const { items } = JSON.parse(list) as { items: Pod[] };
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  }

  async podOn(node: Node, app: string): Promise<Pod> {
    const pod = (await this.podsOf(app)).find(({ spec }) => spec.nodeName === node.name);
    assert.ok(pod, `no pod of ${app} on ${node.name}`);
    return pod;
  }

  onePodPerNode(app: string): Promise<Pod[]> {
    return Promise.all(this.cluster.nodes.map((node) => this.podOn(node, app)));
  }

  /** Whatever its exit code. */
  tryIn(pod: Pod, command: readonly string[]): Promise<CommandResult> {
    return this.cluster.run(['kubectl', '-n', this.namespace, 'exec', pod.metadata.name, '--', ...command]);
  }

  exec(pod: Pod, command: readonly string[]): Promise<string> {
    return this.kubectl('exec', pod.metadata.name, '--', ...command);
  }

  /** Requests one after another, each on a connection of its own, until `stop`. */
  async startLoad(pod: Pod, url: string): Promise<Load> {
    const load = new Load(this, pod);
    await load.start(url);
    return load;
  }
}

export interface LoadResult {
  readonly requests: number;
  /** What curl said. */
  readonly failures: readonly string[];
}

/** It runs by itself inside the pod, so it goes on while the API server is away. */
export class Load {
  static #count = 0;
  readonly #workloads: Workloads;
  readonly #pod: Pod;
  readonly #file = `/tmp/load-${++Load.#count}`;

  constructor(workloads: Workloads, pod: Pod) {
    this.#workloads = workloads;
    this.#pod = pod;
  }

  async start(url: string): Promise<void> {
    const request = `n=$((n+1)); ${curl.join(' ')} -o /dev/null ${url} 2>&1`;
    const loop = `n=0; while [ ! -e ${this.#file}.stop ]; do ${request}; done; echo "requests $n"`;
    await this.#workloads.exec(this.#pod, ['sh', '-c', `(${loop}) > ${this.#file} 2>&1 &`]);
  }

  async stop(): Promise<LoadResult> {
    const { code, stdout, stderr } = await this.#workloads.tryIn(this.#pod, [
      'sh',
      '-c',
      `touch ${this.#file}.stop; for i in $(seq 100); do grep -q '^requests' ${this.#file} && break; sleep 0.1; done; cat ${this.#file}`,
    ]);
    const lines = stdout.split('\n').filter(Boolean);
    const requests = /^requests (\d+)$/.exec(lines.pop() ?? '')?.[1];
    assert.ok(code === 0 && requests !== undefined, `the load cannot be stopped: ${stderr}${stdout}`);
    return { requests: Number(requests), failures: lines };
  }
}

/** Load from a pod of each node while something happens. */
export async function underLoad(
  workloads: Workloads,
  from: string,
  url: string,
  happen: () => Promise<void>,
): Promise<LoadResult> {
  const loads = [];
  for (const pod of await workloads.onePodPerNode(from)) loads.push(await workloads.startLoad(pod, url));
  await delay(aroundMs);
  await happen();
  await delay(aroundMs);
  const results = await Promise.all(loads.map((load) => load.stop()));
  return {
    requests: results.reduce((sum, { requests }) => sum + requests, 0),
    failures: results.flatMap(({ failures }) => failures),
  };
}
