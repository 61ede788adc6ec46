import assert from 'node:assert/strict';

import type { CommandResult } from '../lab/command.ts';
import type { Cluster } from './cluster.ts';
import type { Node } from './node.ts';

export const curl = ['curl', '-sS', '--fail', '--max-time', '5'] as const;

export interface Pod {
  readonly metadata: { readonly name: string; readonly namespace: string; readonly uid: string };
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

  async podsOf(app: string): Promise<Pod[]> {
    const list = await this.kubectl('get', 'pods', '-l', `app=${app}`, '-o', 'json');
    return (JSON.parse(list) as { items: Pod[] }).items;
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
  load(pod: Pod, url: string): Load {
    return new Load(this, pod, url);
  }
}

export interface LoadResult {
  readonly requests: number;
  readonly failures: readonly string[];
}

export class Load {
  static #count = 0;
  readonly #workloads: Workloads;
  readonly #pod: Pod;
  readonly #stopFile = `/tmp/stop-${++Load.#count}`;
  readonly #end: Promise<CommandResult>;

  constructor(workloads: Workloads, pod: Pod, url: string) {
    this.#workloads = workloads;
    this.#pod = pod;
    const request = `${curl.join(' ')} -o /dev/null ${url} 2>&1 || echo`;
    const script = `n=0; while [ ! -e ${this.#stopFile} ]; do ${request}; n=$((n+1)); done; echo "requests $n"`;
    this.#end = workloads.tryIn(pod, ['sh', '-c', script]);
  }

  async stop(): Promise<LoadResult> {
    await this.#workloads.exec(this.#pod, ['touch', this.#stopFile]);
    const { stdout, stderr } = await this.#end;
    const lines = stdout.split('\n').filter(Boolean);
    const requests = /^requests (\d+)$/.exec(lines.pop() ?? '')?.[1];
    assert.ok(requests !== undefined, `the load ended before it was stopped: ${stderr}`);
    return { requests: Number(requests), failures: lines };
  }
}
