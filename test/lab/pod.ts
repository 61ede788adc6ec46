import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import type { CommandOptions, CommandResult } from './command.ts';
import { must, run } from './command.ts';
import type { CniContainer } from './cni-runtime.ts';
import { podNetns } from './layout.ts';
import type { LabNode } from './node.ts';

export interface PodSpec {
  readonly name: string;
  readonly namespace: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly serviceAccount?: string;
  readonly hostNetwork?: boolean;
  readonly containers?: readonly {
    readonly name: string;
    readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
  }[];
}

/** `capabilities`: those that the process keeps; all of root's where it is absent, none for []. */
export interface ProcessOptions extends CommandOptions {
  readonly capabilities?: readonly string[];
}

/** Duplicate address detection would make a new address wait for a second or two (RFC 4862, 5.4). */
export const withoutAddressDetection = ['net.ipv6.conf.all.accept_dad=0', 'net.ipv6.conf.default.accept_dad=0'];

const nobody = '65534';

/** A pod: a network namespace made by the CNI chain, a cgroup as the kubelet lays it out, and a process that holds both. */
export class LabPod {
  readonly spec: PodSpec;
  readonly uid: string;
  readonly node: LabNode;
  readonly netns: string;
  readonly cgroup: string;
  readonly container: CniContainer;
  addresses: readonly string[] = [];

  constructor(node: LabNode, spec: PodSpec) {
    this.node = node;
    this.spec = spec;
    this.uid = crypto.randomUUID();
    this.netns = spec.hostNetwork ? node.netns : podNetns(node.lab.name, node.name, spec.name);
    this.cgroup = join(node.cgroup, 'kubepods', 'besteffort', `pod${this.uid}`, 'main');
    this.container = {
      containerId: this.uid.replaceAll('-', ''),
      netns: `/run/netns/${this.netns}`,
      podNamespace: spec.namespace,
      podName: spec.name,
      podUid: this.uid,
    };
  }

  get ipv4(): string {
    return this.addresses.find((address) => !address.includes(':')) ?? '';
  }

  get ipv6(): string {
    return this.addresses.find((address) => address.includes(':')) ?? '';
  }

  /** @throws CniFailure; then nothing of the pod is left but its object. */
  async start(): Promise<void> {
    mkdirSync(this.cgroup, { recursive: true });
    this.node.lab.objects.setPod(this);
    if (this.spec.hostNetwork !== true) {
      must('ip', 'netns', 'add', this.netns);
      must('nsenter', `--net=/run/netns/${this.netns}`, 'sysctl', '-qw', ...withoutAddressDetection);
      must('ip', '-n', this.netns, 'link', 'set', 'lo', 'up'); // container runtimes do it with the loopback plugin
      try {
        const result = await this.node.cni.add(this.container);
        this.addresses = result.ips.map(({ address }) => address.split('/')[0] ?? '');
      } catch (error) {
        must('ip', 'netns', 'del', this.netns);
        throw error;
      }
    } else {
      this.addresses = [this.node.address];
    }
    this.spawn(['sleep', 'infinity']);
    this.node.lab.objects.setPod(this);
  }

  async delete(): Promise<void> {
    if (this.spec.hostNetwork !== true) {
      await this.node.cni.del(this.container);
      must('ip', 'netns', 'del', this.netns);
    }
    this.node.lab.objects.deletePod(this);
  }

  run(command: readonly string[], options: ProcessOptions = {}): Promise<CommandResult> {
    return run(this.#inside(command, options), options);
  }

  /** Goes on until the lab is torn down, at the latest. */
  spawn(command: readonly string[], options: ProcessOptions & { stderr?: 'pipe' } = {}): ChildProcess {
    const [file = '', ...args] = this.#inside(command, options);
    return spawn(file, args, { stdio: ['pipe', 'pipe', options.stderr ?? 'inherit'], env: options.env ?? process.env });
  }

  #inside(command: readonly string[], options: ProcessOptions): string[] {
    return inNamespaceAndCgroup(this.netns, this.cgroup, [...dropTo(options.capabilities), ...command]);
  }
}

/** Namespace first and cgroup by a shell that becomes the command: the cgroup must be right before the first socket is made. */
export function inNamespaceAndCgroup(netns: string, cgroup: string, command: readonly string[]): string[] {
  const script = 'echo $$ > "$0/cgroup.procs" && netns=$1 && shift && exec nsenter --net="$netns" -- "$@"';
  return ['sh', '-c', script, cgroup, `/run/netns/${netns}`, ...command];
}

function dropTo(capabilities: readonly string[] | undefined): string[] {
  if (capabilities === undefined) return [];
  const kept = ['-all', ...capabilities.map((capability) => `+${capability}`)].join(',');
  return [
    'setpriv',
    `--reuid=${nobody}`,
    `--regid=${nobody}`,
    '--clear-groups',
    `--inh-caps=${kept}`,
    `--ambient-caps=${kept}`,
    `--bounding-set=${kept}`,
  ];
}
