import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

import type { LabNode } from './node.ts';

export interface AgentLine {
  readonly msg: string;
  readonly level: number;
  readonly [key: string]: unknown;
}

export interface AgentOptions {
  /** Those that it keeps, as a container runtime has it; all of root's where it is absent. */
  readonly capabilities?: readonly string[];
  readonly command?: 'uninstall';
  /** As process 1 of a PID namespace, whose end is that of all its processes. */
  readonly inContainer?: boolean;
  readonly flags?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  readonly onLine?: (line: AgentLine) => void;
}

const startDeadlineMs = 15_000;
/** An agent that runs has its stop timeout to leave. */
const uninstallDeadlineMs = 60_000;

/** A weft-agent on a node of the lab. */
export class LabAgent {
  readonly lines: AgentLine[] = [];
  readonly process: ChildProcess;
  readonly #listeners = new Set<() => void>();

  private constructor(node: LabNode, options: AgentOptions) {
    const entry = new URL('../../node-agent/main/main.ts', import.meta.url).pathname;
    const hasController = options.flags?.includes('--controller') ?? false;
    const flags = [
      ...(hasController ? [] : [['--manifests', node.lab.objects.folder]]),
      ['--node-name', node.name],
      ['--run-dir', node.runDir],
      ['--state-dir', node.stateDir],
      ['--pin-dir', node.pins],
      ['--cgroup', node.cgroup],
      ['--agent-cgroup', node.agentCgroup],
      ['--kubelet-cgroup', node.kubeletCgroup],
      ['--workers', '2'],
    ].flat();
    const command = options.command === undefined ? [] : [options.command];
    const set = options.capabilities?.map((name) => `+${name.toLowerCase()}`).join(',');
    const container = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation=slave'];
    const limits = set === undefined ? [] : ['setpriv', '--bounding-set', `-all,${set}`, '--inh-caps', '-all'];
    const agent = [...limits, process.execPath, entry, ...command, ...flags, ...(options.flags ?? [])];
    this.process = node.spawn([...(options.inContainer ? container : []), ...agent], {
      ...process.env,
      ...options.env,
    });
    let rest = '';
    this.process.stderr?.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) this.#read(part, options.onLine);
    });
  }

  static async start(node: LabNode, options: AgentOptions = {}): Promise<LabAgent> {
    const agent = new LabAgent(node, options);
    const [done, deadlineMs] =
      options.command === 'uninstall'
        ? ['Weft is uninstalled from this node', uninstallDeadlineMs]
        : ['ready', startDeadlineMs];
    await agent.waitForLine((line) => line.msg === done, deadlineMs);
    return agent;
  }

  /** Of the main process. */
  get pid(): number {
    const ready = this.lines.find((line) => line.msg === 'ready');
    return Number(ready?.['pid']);
  }

  async waitForLine(matches: (line: AgentLine) => boolean, deadlineMs: number): Promise<AgentLine> {
    const { promise, resolve, reject } = Promise.withResolvers<AgentLine>();
    const look = (): void => {
      const found = this.lines.find(matches);
      if (found) resolve(found);
      else if (this.process.exitCode !== null) reject(new Error(`the agent ended: ${this.transcript()}`));
    };
    const timer = setTimeout(() => {
      reject(new Error(`the agent did not log what was waited for: ${this.transcript()}`));
    }, deadlineMs);
    this.#listeners.add(look);
    this.process.once('close', look);
    look();
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(look);
      this.process.off('close', look);
    }
  }

  enrolled(podName: string, deadlineMs = 15_000): Promise<AgentLine> {
    return this.waitForLine((line) => line['pod'] === podName && line.msg.endsWith('joined the mesh'), deadlineMs);
  }

  transcript(): string {
    return this.lines.map((line) => JSON.stringify(line)).join('\n');
  }

  async exited(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    await new Promise((resolve) => this.process.once('exit', resolve));
  }

  /** Of one in a container: as a kubelet does it. */
  async stop(graceMs: number): Promise<void> {
    const { pid } = this.process;
    const [first] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').map(Number);
    if (pid === undefined || !first) throw new Error('the agent has ended');
    process.kill(first, 'SIGTERM');
    const timer = setTimeout(() => this.process.kill('SIGKILL'), graceMs);
    await this.exited();
    clearTimeout(timer);
  }

  #read(text: string, onLine?: (line: AgentLine) => void): void {
    let line: AgentLine;
    try {
      line = JSON.parse(text) as AgentLine;
    } catch {
      line = { msg: text, level: 0 };
    }
    this.lines.push(line);
    onLine?.(line);
    for (const listener of this.#listeners) listener();
  }
}
