import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import type { CniNetwork } from './cni-runtime.ts';
import { CniRuntime } from './cni-runtime.ts';
import type { CommandOptions, CommandResult } from './command.ts';
import { must, run } from './command.ts';
import type { Lab } from './lab.ts';
import { debianPlugins, labFolder, labMemory, labPrefix, nodeNetns, nodePins } from './layout.ts';
import { inNamespaceAndCgroup, LabPod, withoutAddressDetection } from './pod.ts';
import type { PodSpec } from './pod.ts';

/** A node: a network namespace with a pod range, routed to the others over one bridge, and folders and cgroups of its own. */
export class LabNode {
  readonly lab: Lab;
  readonly name: string;
  readonly index: number;
  readonly netns: string;
  readonly address: string;
  readonly folder: string;
  readonly cgroup: string;
  readonly kubeletCgroup: string;
  readonly agentCgroup: string;
  readonly pins: string;
  readonly network: CniNetwork;
  /** How pods are made here; a test that installs a chain of its own puts it here. */
  cni: CniRuntime;
  readonly pods: LabPod[] = [];

  constructor(lab: Lab, name: string, index: number, meshPlugin: string | undefined) {
    this.lab = lab;
    this.name = name;
    this.index = index;
    this.netns = nodeNetns(lab.name, name);
    this.address = `172.30.0.${index + 10}`;
    this.folder = join(labFolder(lab.name), name);
    this.cgroup = join(lab.cgroup, name);
    this.kubeletCgroup = join(this.cgroup, 'kubelet');
    this.agentCgroup = join(this.cgroup, 'agent');
    this.pins = nodePins(lab.name, name);
    this.network = this.#network(meshPlugin);
    this.cni = new CniRuntime(this.network, this.netns, debianPlugins);
  }

  get runDir(): string {
    return join(labMemory(this.lab.name), this.name);
  }

  get stateDir(): string {
    return join(this.folder, 'state');
  }

  /** All processes of the agents that run here. */
  agentPids(): number[] {
    return readFileSync(join(this.agentCgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean).map(Number);
  }

  workerPids(): number[] {
    return this.agentPids().filter((pid) => /weft-worker|worker\/main\.ts/.test(commandOf(pid)));
  }

  up(switchNetns: string): void {
    for (const folder of [
      this.runDir,
      this.stateDir,
      this.kubeletCgroup,
      join(this.cgroup, 'kubepods'),
      join(this.cgroup, 'node'),
    ]) {
      mkdirSync(folder, { recursive: true });
    }
    const port = `n${this.index}`;
    must('ip', 'netns', 'add', this.netns);
    const forwarding = ['net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1'];
    must('nsenter', `--net=/run/netns/${this.netns}`, 'sysctl', '-qw', ...forwarding, ...withoutAddressDetection);
    must('ip', '-n', this.netns, 'link', 'set', 'lo', 'up');
    must('ip', 'link', 'add', port, 'netns', switchNetns, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', this.netns);
    must('ip', '-n', switchNetns, 'link', 'set', port, 'master', 'br0', 'up');
    must('ip', '-n', this.netns, 'addr', 'add', `${this.address}/24`, 'dev', 'eth0');
    must('ip', '-n', this.netns, '-6', 'addr', 'add', `fd30::${this.index + 10}/64`, 'dev', 'eth0', 'nodad');
    must('ip', '-n', this.netns, 'link', 'set', 'eth0', 'up');
  }

  routeTo(other: LabNode): void {
    must('ip', '-n', this.netns, 'route', 'add', other.podRange, 'via', other.address);
    must('ip', '-n', this.netns, '-6', 'route', 'add', other.podRangeV6, 'via', `fd30::${other.index + 10}`);
  }

  get podRange(): string {
    return `10.244.${this.index}.0/24`;
  }

  get podRangeV6(): string {
    return `fd44:${this.index}::/64`;
  }

  async addPod(spec: PodSpec): Promise<LabPod> {
    const pod = new LabPod(this, spec);
    await pod.start();
    this.pods.push(pod);
    return pod;
  }

  /** The plugin that gives addresses starts again with the first one that is free. */
  forgetAddresses(): void {
    const folder = join(this.folder, 'ipam', `${labPrefix(this.lab.name)}pods`);
    for (const file of readdirSync(folder)) if (file.startsWith('last_reserved_ip')) rmSync(join(folder, file));
  }

  /** A process of the host, outside kubepods. */
  run(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run(inNamespaceAndCgroup(this.netns, join(this.cgroup, 'node'), command), options);
  }

  runAsKubelet(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
    return run(inNamespaceAndCgroup(this.netns, this.kubeletCgroup, command), options);
  }

  spawn(command: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
    const [file = '', ...args] = inNamespaceAndCgroup(this.netns, join(this.cgroup, 'node'), command);
    return spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'], env });
  }

  #network(meshPlugin: string | undefined): CniNetwork {
    const ranges = [[{ subnet: this.podRange }], ...(this.lab.dualStack ? [[{ subnet: this.podRangeV6 }]] : [])];
    return {
      name: `${labPrefix(this.lab.name)}pods`,
      cniVersion: '1.0.0',
      plugins: [
        {
          type: 'bridge',
          bridge: 'cni0',
          isGateway: true,
          ipMasq: false,
          ipam: {
            type: 'host-local',
            dataDir: join(this.folder, 'ipam'),
            ranges,
            routes: [{ dst: '0.0.0.0/0' }, ...(this.lab.dualStack ? [{ dst: '::/0' }] : [])],
          },
        },
        ...(meshPlugin === undefined
          ? []
          : [
              {
                type: meshPlugin,
                socket: join(this.runDir, 'cni.sock'),
                namespacesFile: join(this.stateDir, 'namespaces.json'),
              },
            ]),
      ],
    };
  }
}

/** Empty of a process that has ended. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
