import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

import { CapturedPackets } from '../lab/packet-capture.ts';
import type { Cluster } from './cluster.ts';
import { appPort } from './objects.ts';
import type { Workloads } from './workloads.ts';
import { curl } from './workloads.ts';

const deadlineMs = 10_000;
// What the kernel has not handed to tcpdump yet is not in the file.
const settleMs = 300;

/** All TCP that goes from node to node, at the bridge that is their network. */
export class Wiretap {
  static #count = 0;
  readonly #cluster: Cluster;
  readonly #file = `/var/tmp/wire-${++Wiretap.#count}.pcap`;

  private constructor(cluster: Cluster) {
    this.#cluster = cluster;
  }

  static async start(cluster: Cluster): Promise<Wiretap> {
    const tap = new Wiretap(cluster);
    const { machine } = cluster.controlPlane;
    const name = `tcpdump-${Wiretap.#count}`;
    const options = ['-i', 'br0', '-s', '0', '-U', '--immediate-mode', '-Z', 'root', '-w', tap.#file];
    machine.daemon(name, ['tcpdump', ...options, 'tcp and net 10.244.0.0/16']);
    const deadline = performance.now() + deadlineMs;
    while (!readFileSync(machine.log(name), 'utf8').includes('listening on')) {
      if (performance.now() > deadline) throw new Error('tcpdump does not start');
      await delay(20);
    }
    return tap;
  }

  async stop(): Promise<CapturedPackets> {
    const { machine } = this.#cluster.controlPlane;
    await delay(settleMs);
    const deadline = performance.now() + deadlineMs;
    for (let pids = machine.pidsOf('tcpdump'); pids.length > 0; pids = machine.pidsOf('tcpdump')) {
      if (performance.now() > deadline) throw new Error('tcpdump does not end');
      for (const pid of pids) process.kill(pid, 'SIGINT');
      await delay(50);
    }
    const packets = new CapturedPackets(machine.path(this.#file));
    rmSync(machine.path(this.#file));
    return packets;
  }
}

/** Whether requests from one node to the other can be read on the wire between them. */
export async function isPlaintext(workloads: Workloads, app: string): Promise<boolean> {
  const [source, target] = await workloads.onePodPerNode(app);
  assert.ok(source && target);
  const marker = `marker-${performance.now()}`;
  const tap = await Wiretap.start(workloads.cluster);
  const request = [...curl, `http://${target.status.podIP}:${appPort}/?${marker}`];
  for (let round = 0; round < 5; round++)
    assert.equal((await workloads.exec(source, request)).trim(), target.metadata.name);
  const packets = await tap.stop();
  assert.ok(packets.size > 1000, 'nothing was seen');
  return packets.contains(marker);
}
