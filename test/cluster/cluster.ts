import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { CommandOptions, CommandResult } from '../lab/command.ts';
import { run } from '../lab/command.ts';
import { buildPrograms, program } from './binaries.ts';
import { ControlPlane } from './control-plane.ts';
import { dnsObjects } from './dns.ts';
import { pauseProgram, standardImages } from './images.ts';
import { clusterFolder, isClusterName } from './layout.ts';
import { environment } from './machine.ts';
import { Node } from './node.ts';
import { leftovers, teardown } from './teardown.ts';

const readyDeadline = '180s';
const kubectlDeadlineMs = 200_000;

export interface ClusterOptions {
  /** Clusters of different names can be up at once. */
  readonly name?: string;
  readonly nodes?: number;
  /** Told of what has been done, and after how many milliseconds. */
  readonly onStep?: (step: string, ms: number) => void;
}

/** A real Kubernetes on this machine. It outlives the process that made it: `down`, or `teardown` by its name, ends it. */
export class Cluster {
  readonly name: string;
  readonly controlPlane: ControlPlane;
  readonly nodes: readonly Node[];

  private constructor(name: string, nodes: number) {
    this.name = name;
    this.controlPlane = new ControlPlane(name);
    this.nodes = Array.from({ length: nodes }, (_, index) => new Node(name, index));
  }

  /** Leaves nothing behind when it fails. */
  static async up({ name = 'weft', nodes = 2, onStep = () => undefined }: ClusterOptions = {}): Promise<Cluster> {
    if (!isClusterName(name)) throw new Error(`"${name}" is not 1 to 10 small letters and digits`);
    await buildPrograms();
    const images = await standardImages();
    if (leftovers(name).length > 0) throw new Error(`a cluster "${name}" is there, or what is left of one`);
    const cluster = new Cluster(name, nodes);
    const started = performance.now();
    try {
      mkdirSync(clusterFolder(name), { recursive: true });
      writeFileSync(stateFile(name), JSON.stringify({ nodes }));
      await cluster.#start(images, (step) => onStep(step, Math.round(performance.now() - started)));
      return cluster;
    } catch (error) {
      await teardown(name);
      throw error;
    }
  }

  /** One that is up, by whomever. */
  static find(name = 'weft'): Cluster | undefined {
    if (!existsSync(stateFile(name))) return undefined;
    const { nodes } = JSON.parse(readFileSync(stateFile(name), 'utf8')) as { nodes: number };
    return new Cluster(name, nodes);
  }

  async down(): Promise<void> {
    await teardown(this.name);
  }

  node(name: string): Node {
    const node = this.nodes.find((one) => one.name === name);
    if (node === undefined) throw new Error(`the cluster has no node ${name}`);
    return node;
  }

  /** On the administrator's computer: this machine's files, the control plane's network, kubectl and helm on PATH. */
  command(command: readonly string[]): { command: string[]; env: NodeJS.ProcessEnv } {
    return {
      command: this.controlPlane.machine.commandOutside(command),
      env: { ...environment(), KUBECONFIG: this.controlPlane.adminConfig },
    };
  }

  run(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    const { command: inside, env } = this.command(command);
    return run(inside, { timeoutMs: kubectlDeadlineMs, ...options, env: { ...env, ...options.env } });
  }

  /** @returns what it prints */
  async kubectl(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const { code, stdout, stderr } = await this.run([program('kubectl'), ...args], options);
    if (code !== 0) throw new Error(`kubectl ${args.join(' ')}: exit code ${code}: ${stderr.trim()}`);
    return stdout;
  }

  async apply(objects: readonly object[]): Promise<void> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects };
    await this.kubectl(['apply', '--server-side', '-f', '-'], { input: JSON.stringify(list) });
  }

  async loadImage(tar: string): Promise<void> {
    for (const node of this.nodes) await node.importImage(tar);
  }

  /** As pulling a node's plug and putting it back in. What its disk holds is kept; its containers, pins and links are not. */
  async reboot(node: Node): Promise<void> {
    await node.machine.kill();
    await this.#bootNode(node, await pauseProgram());
    await node.startContainerd([]);
    node.startKubelet();
    node.startKubeProxy();
  }

  async #bootNode(node: Node, init: string): Promise<void> {
    const others = this.nodes.filter((other) => other !== node);
    await node.boot(init, this.controlPlane, others);
  }

  async #start(images: readonly string[], done: (step: string) => void): Promise<void> {
    const { controlPlane, nodes } = this;
    const init = await pauseProgram();
    await controlPlane.createCertificates();
    for (const node of nodes) await node.prepare(controlPlane);
    done('certificates and configuration');
    await controlPlane.boot(init);
    for (const node of nodes) await this.#bootNode(node, init);
    done('machines and their network');
    controlPlane.startEtcd();
    controlPlane.startApiServer();
    const runtimes = Promise.all(nodes.map((node) => node.startContainerd(images)));
    await Promise.all([runtimes, controlPlane.waitForApiServer()]);
    done('API server, containerd with images');
    controlPlane.startControllers();
    for (const node of nodes) {
      node.startKubelet();
      node.startKubeProxy();
    }
    await this.apply(dnsObjects);
    await this.kubectl([
      'wait',
      '--for=create',
      ...nodes.map(({ name }) => `node/${name}`),
      `--timeout=${readyDeadline}`,
    ]);
    for (const { name, podRange } of nodes)
      await this.kubectl([
        'patch',
        'node',
        name,
        '-p',
        JSON.stringify({ spec: { podCIDR: podRange, podCIDRs: [podRange] } }),
      ]);
    await this.kubectl(['wait', '--for=condition=Ready', 'node', '--all', `--timeout=${readyDeadline}`]);
    done('nodes Ready');
    await this.kubectl(['rollout', 'status', '-n', 'kube-system', 'deployment/coredns', `--timeout=${readyDeadline}`]);
    done('DNS Ready');
  }
}

function stateFile(name: string): string {
  return join(clusterFolder(name), 'cluster.json');
}
