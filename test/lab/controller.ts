import type { ChildProcess } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { AgentLine } from './agent.ts';
import { must } from './command.ts';
import { labFolder } from './layout.ts';
import type { LabNode } from './node.ts';

const port = 8086;
const startDeadlineMs = 15_000;
const entry = new URL('../../control-plane/main.ts', import.meta.url).pathname;

/** A weft-controller of a lab, on one of its nodes, and what agents need to reach it. */
export class LabController {
  readonly lines: AgentLine[] = [];
  readonly process: ChildProcess;
  readonly #node: LabNode;

  private constructor(node: LabNode, flags: readonly string[]) {
    this.#node = node;
    const command = [
      '--manifests',
      node.lab.objects.folder,
      '--state-dir',
      this.stateDir,
      '--listen',
      `0.0.0.0:${port}`,
    ];
    this.process = node.spawn([process.execPath, entry, ...command, ...flags]);
  }

  static async start(node: LabNode, flags: readonly string[] = []): Promise<LabController> {
    const controller = new LabController(node, flags);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      reject(new Error(`the controller does not start: ${JSON.stringify(controller.lines)}`));
    }, startDeadlineMs);
    let rest = '';
    controller.process.stderr?.on('data', (chunk: Buffer) => {
      const parts = (rest + chunk.toString()).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) controller.#read(part);
      if (controller.lines.some(({ msg }) => msg === 'ready')) resolve();
    });
    await promise.finally(() => {
      clearTimeout(timer);
    });
    return controller;
  }

  get stateDir(): string {
    return join(labFolder(this.#node.lab.name), 'controller');
  }

  get pid(): number {
    return Number(this.lines.find(({ msg }) => msg === 'ready')?.['pid']);
  }

  /** Flags by which the agent of a node reaches it. */
  flagsFor(node: LabNode): string[] {
    const tokenFile = join(labFolder(node.lab.name), `${node.name}.token`);
    const token = must(process.execPath, entry, 'token', '--state-dir', this.stateDir, '--node', node.name);
    writeFileSync(tokenFile, token, { mode: 0o600 });
    return [
      ['--controller', `https://${this.#node.address}:${port}`],
      ['--controller-ca', join(this.stateDir, 'issuer', 'ca.crt')],
      ['--token-file', tokenFile],
    ].flat();
  }

  /** Trust anchors, PEM. */
  anchors(): string {
    return readFileSync(join(this.stateDir, 'issuer', 'ca.crt'), 'utf8');
  }

  async kill(): Promise<void> {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    process.kill(this.pid, 'SIGKILL');
    await ended;
  }

  #read(text: string): void {
    try {
      this.lines.push(JSON.parse(text) as AgentLine);
    } catch {
      this.lines.push({ msg: text, level: 0 });
    }
  }
}
