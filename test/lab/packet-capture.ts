import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { must } from './command.ts';
import type { LabNode } from './node.ts';
import type { LabPod } from './pod.ts';

const startDeadlineMs = 5000;
// What the kernel has not handed to tcpdump yet is not in the file.
const settleMs = 300;

/** Everything that crosses a device over TCP, as an eavesdropper with tcpdump sees it. */
export class PacketCapture {
  readonly #process: ChildProcess;
  readonly #path: string;

  private constructor(process: ChildProcess, path: string) {
    this.#process = process;
    this.#path = path;
  }

  /** By default what leaves and reaches the node. */
  static onDevice(node: LabNode, device = 'eth0'): Promise<PacketCapture> {
    const path = join(node.folder, `${device}-${performance.now()}.pcap`);
    return PacketCapture.#start(node.spawn(dump(device, path)), path);
  }

  /** What is said inside the pod, to the app too. */
  static inside(pod: LabPod): Promise<PacketCapture> {
    const path = join(pod.node.folder, `${pod.uid}-${performance.now()}.pcap`);
    return PacketCapture.#start(pod.spawn(dump('any', path), { stderr: 'pipe' }), path);
  }

  static async #start(tcpdump: ChildProcess, path: string): Promise<PacketCapture> {
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
    return new PacketCapture(tcpdump, path);
  }

  async stop(): Promise<CapturedPackets> {
    await delay(settleMs);
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGINT');
    await ended;
    return new CapturedPackets(this.#path);
  }
}

export interface OpenedConnection {
  readonly from: string;
  readonly to: string;
}

/** A pcap file. */
export class CapturedPackets {
  readonly #path: string;
  readonly #bytes: Buffer;

  constructor(path: string) {
    this.#path = path;
    this.#bytes = readFileSync(path);
  }

  /** Of the file. */
  get size(): number {
    return this.#bytes.length;
  }

  /** What two packets share is not found: search for what fits one. */
  contains(bytes: string | Uint8Array): boolean {
    return this.#bytes.includes(bytes);
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

  /** By SYN, without retransmissions. */
  connections(): OpenedConnection[] {
    const syn = 'tcp[tcpflags] & (tcp-syn|tcp-ack) == tcp-syn';
    const lines = must('tcpdump', '-nn', '-t', '-r', this.#path, syn).split('\n');
    const ends = lines.flatMap((line) => /IP (\S+) > (\S+):/.exec(line)?.slice(1, 3).join(' ') ?? []);
    return [...new Set(ends)].map((pair) => {
      const [from = '', to = ''] = pair.split(' ');
      return { from, to };
    });
  }
}

function dump(device: string, path: string): string[] {
  return ['tcpdump', '-Z', 'root', '-i', device, '-s', '0', '-B', '65536', '--immediate-mode', '-U', '-w', path, 'tcp'];
}
