import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { CommandResult } from '../lab/command.ts';
import { must } from '../lab/command.ts';
import { processesBelow } from './cgroups.ts';
import type { Cluster } from './cluster.ts';
import { machineCgroup } from './machine.ts';
import type { Node } from './node.ts';
import { weftImage } from './weft-image.ts';

const command = new URL('../../cli/main.ts', import.meta.url).pathname;
const commandDeadlineMs = 330_000; // `weft check` waits for up to 5 minutes
const adminPort = 4191;

export const weftNamespace = 'weft-system';
export const chart = new URL('../../deploy/charts/weft', import.meta.url).pathname;

/** As the commit before has it. @returns where it lies */
export function chartBefore(folder: string): string {
  const repository = new URL('../../', import.meta.url).pathname;
  must('sh', '-c', 'git -C "$0" archive HEAD~1 deploy/charts/weft | tar -x -C "$1"', repository, folder);
  return join(folder, 'deploy/charts/weft');
}

/** Where these nodes are not like other people's: several share a kernel. */
export const chartValues: readonly string[] = [
  ...['--set', `node.cgroup=${machineCgroup}`],
  ...['--set', 'node.kubeletCgroup=kubelet'],
  ...['--set', 'agent.resources.requests.cpu=10m'],
  ...['--set', 'controller.resources.requests.cpu=10m'],
];

/** Weft as a person with kubectl, helm and the `weft` command installs it, from the image and by the charts. */
export class Installation {
  readonly cluster: Cluster;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  /** No registry can be reached, so nodes have it beforehand. */
  async loadImage(): Promise<void> {
    await this.cluster.loadImage(await weftImage());
  }

  tryWeft(...args: readonly string[]): Promise<CommandResult> {
    return this.cluster.run([process.execPath, command, ...args], { timeoutMs: commandDeadlineMs });
  }

  /** @returns what it prints */
  async weft(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryWeft(...args);
    assert.equal(code, 0, `weft ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }

  async helm(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.cluster.run(['helm', ...args, '--namespace', weftNamespace], {
      timeoutMs: commandDeadlineMs,
    });
    assert.equal(code, 0, `helm ${args.join(' ')}: ${stdout}${stderr}`);
    return stdout;
  }

  /** As `weft … | kubectl apply -f -`. */
  async apply(...args: readonly string[]): Promise<void> {
    const manifests = await this.weft(...args);
    await this.cluster.kubectl(['apply', '-f', '-'], { input: manifests });
  }

  async rolledOut(): Promise<void> {
    for (const object of ['deployment/weft-controller', 'daemonset/weft-agent'])
      await this.cluster.kubectl(['rollout', 'status', '-n', weftNamespace, object, '--timeout=120s']);
  }

  async agentPod(node: Node): Promise<string> {
    const selectors = ['-l', 'app.kubernetes.io/name=weft-agent', `--field-selector=spec.nodeName=${node.name}`];
    const pods = await this.cluster.kubectl(['get', 'pods', '-n', weftNamespace, ...selectors, '-o', 'json']);
    const { items } = JSON.parse(pods) as { items: { metadata: { name: string; deletionTimestamp?: string } }[] };
    const [pod] = items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    assert.ok(pod, `no agent on ${node.name}`);
    return pod.metadata.name;
  }

  /** Of the agent that runs on the node, or of those that do. */
  workerPids(node: Node): number[] {
    return processesBelow(node.machine.cgroup).filter(isWorker);
  }

  async untilEnded(workers: readonly number[], deadlineMs: number): Promise<void> {
    const started = performance.now();
    while (workers.some(isWorker)) {
      if (performance.now() - started > deadlineMs) assert.fail(`workers ${workers.join(', ')} do not end`);
      await delay(10);
    }
  }

  /** How many pods the agents have in the mesh. */
  async captured(): Promise<number> {
    const counts = await Promise.all(this.cluster.nodes.map((node) => this.#capturedOn(node)));
    return counts.reduce((sum, count) => sum + count, 0);
  }

  /** @returns after how many milliseconds */
  async untilCaptured(count: number, deadlineMs: number): Promise<number> {
    const started = performance.now();
    for (;;) {
      const captured = await this.captured();
      const took = Math.round(performance.now() - started);
      if (captured === count) return took;
      if (took > deadlineMs) assert.fail(`${captured} pods are in the mesh after ${took} ms, not ${count}`);
      await delay(20);
    }
  }

  /** 0 where no agent answers. */
  async #capturedOn(node: Node): Promise<number> {
    const url = `http://127.0.0.1:${adminPort}/metrics`;
    if (node.machine.init === undefined) return 0;
    const { stdout } = await node.machine.run(['curl', '--silent', '--max-time', '2', url]);
    return Number(/^weft_pods(?:\{.*\})? (\d+)$/m.exec(stdout)?.[1] ?? 0);
  }
}

function isWorker(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('weft-worker');
  } catch {
    return false; // it has ended
  }
}
