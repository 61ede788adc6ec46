import type { ChildProcess } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { LabPod } from '../lab/pod.ts';
import type { Failure, KindOfTraffic, TrafficResult } from '../tools/traffic-result.ts';
import { listening } from './helpers.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const ports = ['8081', '8082', '8083'];

export async function trafficServer(pod: LabPod): Promise<void> {
  await listening(pod, [process.execPath, `${tools}traffic-server.ts`, ...ports]);
}

/** Of all kinds, or those that are named, `rate` of each a second; it goes on until it is stopped. */
export class Traffic {
  static #count = 0;
  readonly #client: ChildProcess;
  readonly #stopFile: string;
  readonly #ended: Promise<string>;

  private constructor(client: ChildProcess, stopFile: string) {
    this.#client = client;
    this.#stopFile = stopFile;
    let output = '';
    client.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    this.#ended = new Promise((resolve) => client.once('close', () => resolve(output)));
  }

  static async start(from: LabPod, to: LabPod, rate: number, ...kinds: KindOfTraffic[]): Promise<Traffic> {
    const stopFile = join(tmpdir(), `weft-traffic-${process.pid}-${++Traffic.#count}`);
    const command = [process.execPath, `${tools}traffic.ts`, to.ipv4, ...ports, stopFile, String(rate), ...kinds];
    return new Traffic(await listening(from, command), stopFile);
  }

  async stop(): Promise<TrafficResult> {
    writeFileSync(this.#stopFile, '');
    const output = await this.#ended;
    rmSync(this.#stopFile);
    if (this.#client.exitCode !== 0) throw new Error(`the traffic's client ended: ${output}`);
    return JSON.parse(output) as TrafficResult;
  }
}

export function failuresOf(result: TrafficResult, ...kinds: readonly KindOfTraffic[]): Failure[] {
  return kinds.flatMap((kind) => result[kind]?.failures ?? []);
}
