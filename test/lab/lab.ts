import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';

import { must, run } from './command.ts';
import { labCgroup, labFolder, labPrefix } from './layout.ts';
import { LabNode } from './node.ts';
import type { NamespaceSpec } from './objects.ts';
import { LabObjects } from './objects.ts';
import { leftovers, teardown, watchdogScript } from './teardown.ts';

export interface LabOptions {
  /** Labs of different names can run at once. At most 10 characters. */
  readonly name?: string;
  readonly nodes: readonly string[];
  readonly dualStack?: boolean;
  readonly namespaces?: readonly NamespaceSpec[];
  /** Path of the mesh's CNI plugin; absent: the chain has none. */
  readonly meshPlugin?: string;
  /** Nodes whose chain has no plugin of ours all the same. */
  readonly unmeshedNodes?: readonly string[];
  /** Of a process that has begun before the lab was there; absent: the lab has its own. */
  readonly watchdog?: ChildProcess;
}

let count = 0;

export function isLabName(name: string): boolean {
  return /^[a-z0-9]{1,10}$/.test(name);
}

/** Takes down what there is of the lab when this process ends. */
export function startWatchdog(lab: string): ChildProcess {
  const watchdog = spawn(process.execPath, [watchdogScript, lab], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
  });
  watchdog.unref();
  return watchdog;
}

/** A cluster out of network namespaces. It ends with the process that made it, also when that is killed. */
export class Lab {
  readonly name: string;
  readonly dualStack: boolean;
  readonly cgroup: string;
  readonly objects: LabObjects;
  readonly nodes: LabNode[];
  readonly #watchdog: ChildProcess;

  private constructor(options: LabOptions) {
    this.name = options.name ?? `${process.pid}x${count++}`;
    if (!isLabName(this.name)) throw new Error(`a lab's name has 1 to 10 letters and digits: "${this.name}"`);
    this.dualStack = options.dualStack ?? true;
    this.cgroup = labCgroup(this.name);
    mkdirSync(labFolder(this.name), { recursive: true });
    this.#watchdog = options.watchdog ?? startWatchdog(this.name);
    this.objects = new LabObjects(join(labFolder(this.name), 'manifests'));
    this.nodes = options.nodes.map(
      (name, index) =>
        new LabNode(this, name, index, options.unmeshedNodes?.includes(name) ? undefined : options.meshPlugin),
    );
  }

  static async up(options: LabOptions): Promise<Lab> {
    if ((await run(['mountpoint', '-q', '/sys/fs/bpf'])).code !== 0) must('mount', '-t', 'bpf', 'bpf', '/sys/fs/bpf');
    const lab = new Lab(options);
    try {
      lab.#connect();
      for (const namespace of options.namespaces ?? []) lab.objects.setNamespace(namespace);
      return lab;
    } catch (error) {
      await lab.down();
      throw error;
    }
  }

  node(name: string): LabNode {
    const node = this.nodes.find((candidate) => candidate.name === name);
    if (node === undefined) throw new Error(`the lab has no node ${name}`);
    return node;
  }

  /** Resolves to what could not be taken down: nothing, unless something is broken. */
  async down(): Promise<string[]> {
    await teardown(this.name);
    this.#watchdog.kill('SIGKILL');
    return leftovers(this.name);
  }

  #connect(): void {
    const switchNetns = `${labPrefix(this.name)}switch`;
    must('ip', 'netns', 'add', switchNetns);
    must('ip', '-n', switchNetns, 'link', 'add', 'br0', 'type', 'bridge');
    must('ip', '-n', switchNetns, 'link', 'set', 'br0', 'up');
    for (const node of this.nodes) node.up(switchNetns);
    for (const node of this.nodes) for (const other of this.nodes) if (other !== node) node.routeTo(other);
  }
}
