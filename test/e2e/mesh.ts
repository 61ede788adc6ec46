import { LabAgent } from '../lab/agent.ts';
import { LabController } from '../lab/controller.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { meshPlugin } from './helpers.ts';

export interface MeshOptions {
  readonly agentFlags?: readonly string[];
  readonly controllerFlags?: readonly string[];
  /** Each agent ends with all its processes, as those of a DaemonSet do. */
  readonly inContainers?: boolean;
}

const shop = { 'weft.dev/mesh': 'enabled' };

/** Two meshed nodes, a and b, whose agents know one controller, which is on the third, c. */
export class LabMesh {
  readonly lab: Lab;
  controller: LabController;
  readonly agents = new Map<string, LabAgent>();
  readonly #options: MeshOptions;
  #agentFlags = new Map<string, readonly string[]>();

  private constructor(lab: Lab, controller: LabController, options: MeshOptions) {
    this.lab = lab;
    this.controller = controller;
    this.#options = options;
  }

  static async up(options: MeshOptions = {}): Promise<LabMesh> {
    const lab = await Lab.up({
      nodes: ['a', 'b', 'c'],
      meshPlugin,
      unmeshedNodes: ['c'],
      namespaces: [{ name: 'shop', labels: shop }, { name: 'plain' }],
    });
    try {
      const controller = await LabController.start(lab.node('c'), options.controllerFlags);
      const mesh = new LabMesh(lab, controller, options);
      for (const node of ['a', 'b']) {
        mesh.#agentFlags.set(node, controller.flagsFor(lab.node(node)));
        await mesh.startAgent(node);
      }
      return mesh;
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  agent(node: string): LabAgent {
    const agent = this.agents.get(node);
    if (agent === undefined) throw new Error(`no agent runs on node ${node}`);
    return agent;
  }

  /** Also another one, in the place of the one that runs. */
  async startAgent(node: string): Promise<LabAgent> {
    const flags = ['--log-connections', ...(this.#agentFlags.get(node) ?? []), ...(this.#options.agentFlags ?? [])];
    const agent = await LabAgent.start(this.lab.node(node), {
      flags,
      inContainer: this.#options.inContainers ?? false,
    });
    this.agents.set(node, agent);
    return agent;
  }

  /** As a DaemonSet with maxSurge does it: the next agent is ready before the earlier one is told to end. Resolves when that has ended. */
  async rollAgent(node: string, graceMs: number): Promise<void> {
    const earlier = this.agent(node);
    await this.startAgent(node);
    await earlier.stop(graceMs);
  }

  /** As when its container is killed: nothing of it goes on. */
  async killAgent(node: string): Promise<void> {
    const folder = this.lab.node(node).agentCgroup;
    await this.lab.node(node).run(['sh', '-c', `kill -9 $(cat ${folder}/cgroup.procs)`]);
    await this.agent(node).exited();
    this.agents.delete(node);
  }

  /** With its files, so that its agents know it again. */
  async startController(): Promise<void> {
    this.controller = await LabController.start(this.lab.node('c'), this.#options.controllerFlags);
  }

  /** Pod in the namespace that is meshed, once it is in the mesh. */
  async addMeshed(
    node: string,
    name: string,
    serviceAccount: string,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<LabPod> {
    const pod = await this.lab.node(node).addPod({ name, namespace: 'shop', serviceAccount, annotations });
    await this.agent(node).enrolled(name);
    return pod;
  }

  /** A client, and servers for it on its own node and on the other one. */
  async addClientAndServers(): Promise<{ client: LabPod; neighbour: LabPod; server: LabPod }> {
    const client = await this.addMeshed('a', 'client', 'client');
    const neighbour = await this.addMeshed('a', 'neighbour', 'neighbour');
    const server = await this.addMeshed('b', 'server', 'server');
    return { client, neighbour, server };
  }

  /** What agents say of the connections that went wrong, for a test's message. */
  troubles(): string {
    return [...this.agents]
      .flatMap(([node, { lines }]) =>
        lines
          .filter((line) => line.level >= 40 || (line.msg === 'connection' && line['reason'] !== 'finished'))
          .slice(-15)
          .map((line) => `${node} ${JSON.stringify(line)}`),
      )
      .join('\n');
  }
}
