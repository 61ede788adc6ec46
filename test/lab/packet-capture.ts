import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import type { LabNode } from './node.ts';

const startDeadlineMs = 5000;
// What the kernel has not handed to tcpdump yet is not in the file.
const settleMs = 300;

/** Everything that crosses a device of a node, by tcpdump. */
export class PacketCapture {
  readonly #process: ChildProcess;
  readonly #path: string;

  private constructor(process: ChildProcess, path: string) {
    this.#process = process;
    this.#path = path;
  }

  static async start(node: LabNode, device = 'eth0', filter = 'tcp'): Promise<PacketCapture> {
    const path = join(node.folder, `${device}-${performance.now()}.pcap`);
    const child = node.spawn([
      'tcpdump',
      '-i',
      device,
      '-s',
      '0',
      '-U',
      '--immediate-mode',
      '-Z',
      'root',
      '-w',
      path,
      filter,
    ]);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      reject(new Error('tcpdump does not start'));
    }, startDeadlineMs);
    child.stderr?.on('data', (chunk: Buffer) => {
      if (chunk.toString().includes('listening on')) resolve();
    });
    await promise.finally(() => {
      clearTimeout(timer);
    });
    return new PacketCapture(child, path);
  }

  async stop(): Promise<CapturedPackets> {
    await delay(settleMs);
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGINT');
    await ended;
    return new CapturedPackets(readFileSync(this.#path));
  }
}

/** The bytes of a pcap file. A text that two packets share is not found: search for what fits one. */
export class CapturedPackets {
  readonly #bytes: Buffer;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get size(): number {
    return this.#bytes.length;
  }

  contains(text: string): boolean {
    return this.#bytes.includes(text);
  }

  /** TLS handshake records that begin with a ClientHello (RFC 8446, 5.1 and 4.1.2). */
  get clientHellos(): number {
    let count = 0;
    for (
      let at = this.#bytes.indexOf(Buffer.of(0x16, 3, 1));
      at >= 0;
      at = this.#bytes.indexOf(Buffer.of(0x16, 3, 1), at + 1)
    )
      if (this.#bytes[at + 5] === 1) count++;
    return count;
  }
}
