import type { ChildProcess } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { must } from '../lab/command.ts';
import type { LabNode } from '../lab/node.ts';
import type { LabPod } from '../lab/pod.ts';

const startDeadlineMs = 5000;

export interface Opened {
  readonly from: string;
  readonly to: string;
}

/** All TCP on a device, as an eavesdropper sees it. */
export class Wiretap {
  readonly #process: ChildProcess;
  readonly #path: string;

  private constructor(process: ChildProcess, path: string) {
    this.#process = process;
    this.#path = path;
  }

  /** What leaves and reaches the node. */
  static onLink(node: LabNode, name: string): Promise<Wiretap> {
    const path = join(node.folder, `${name}.pcap`);
    return Wiretap.#start(node.spawn(dump('eth0', path)), path);
  }

  /** What is said inside the pod, to the app too. */
  static inside(pod: LabPod): Promise<Wiretap> {
    const path = join(pod.node.folder, `${pod.uid}.pcap`);
    return Wiretap.#start(pod.spawn(dump('any', path), { stderr: 'pipe' }), path);
  }

  static async #start(tcpdump: ChildProcess, path: string): Promise<Wiretap> {
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

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGINT');
    await ended;
  }

  /** Whether the bytes were seen so far, each packet by itself. */
  saw(text: string): boolean {
    return readFileSync(this.#path).includes(text);
  }

  /** Of all packets seen so far. */
  get bytes(): number {
    return statSync(this.#path).size;
  }

  /** By SYN, without retransmissions. */
  connections(): Opened[] {
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
