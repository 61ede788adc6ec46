import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import type { LabNode } from '../lab/node.ts';

const startDeadlineMs = 5000;

/** All TCP that crosses a link of a node, as an eavesdropper sees it. */
export class Wiretap {
  readonly #process: ChildProcess;
  readonly #path: string;

  private constructor(process: ChildProcess, path: string) {
    this.#process = process;
    this.#path = path;
  }

  static async start(node: LabNode, name: string): Promise<Wiretap> {
    const path = join(node.folder, `${name}.pcap`);
    const command = [
      'tcpdump',
      '-Z',
      'root',
      '-i',
      'eth0',
      '-s',
      '0',
      '-B',
      '65536',
      '--immediate-mode',
      '-U',
      '-w',
      path,
      'tcp',
    ];
    const tcpdump = node.spawn(command);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      reject(new Error('tcpdump does not listen'));
    }, startDeadlineMs);
    tcpdump.stderr?.on('data', (chunk: Buffer) => {
      if (chunk.includes('listening on')) resolve();
    });
    await promise.finally(() => {
      clearTimeout(timer);
    });
    return new Wiretap(tcpdump, path);
  }

  /** Ends it. */
  async stop(): Promise<Buffer> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGINT');
    await ended;
    return this.captured();
  }

  captured(): Buffer {
    return readFileSync(this.#path);
  }
}
