import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { Failure, KindOfTraffic, TrafficResult } from '../tools/traffic-result.ts';
import { imageNames } from './images.ts';
import { deployment } from './objects.ts';
import type { Pod, Workloads } from './workloads.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
const ports = [8081, 8082, 8083] as const;
const perSecond = 10;
const startDeadlineMs = 30_000;
const aroundMs = 1000;
/** Attempts that wait for a SYN to be sent once more are waited for. */
const stopDeadlineMs = 30_000;

/** What has an end of its own. */
export const shortKinds: readonly KindOfTraffic[] = ['http-new', 'http-kept', 'grpc-new', 'grpc-kept', 'tcp-new'];
export const longKinds: readonly KindOfTraffic[] = ['grpc-stream', 'tcp-kept'];

/** Servers of traffic, two on each node, and a client on each. Their programs are this machine's, whose files every node has. */
export function trafficApps(namespace: string): object[] {
  const serve = [process.execPath, `${tools}traffic-server.ts`, ...ports.map(String)];
  return [
    programs(namespace, 'traffic-server', 4, serve, ports[0]),
    programs(namespace, 'traffic-client', 2, ['/bin/sleep', 'infinity']),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'traffic-server', namespace },
      spec: {
        selector: { app: 'traffic-server' },
        ports: ports.map((port) => ({ name: `port-${port}`, port })),
      },
    },
  ];
}

function programs(
  namespace: string,
  name: string,
  replicas: number,
  command: readonly string[],
  port?: number,
): object {
  const container = {
    name: 'main',
    image: imageNames.tools,
    imagePullPolicy: 'Never',
    command: port === undefined ? command : ['chroot', '/host', ...command],
    volumeMounts: [{ name: 'host', mountPath: '/host', readOnly: true }],
    ...(port !== undefined && { readinessProbe: { tcpSocket: { port }, periodSeconds: 1 } }),
  };
  const spec = { containers: [container], volumes: [{ name: 'host', hostPath: { path: '/' } }] };
  return deployment({ name, namespace, replicas, spec });
}

/** One client. It runs by itself inside of its pod, so it goes on while the API server is away. */
class TrafficClient {
  static #count = 0;
  readonly #workloads: Workloads;
  readonly #pod: Pod;
  readonly #output: string;
  readonly #stopFile: string;

  constructor(workloads: Workloads, pod: Pod) {
    this.#workloads = workloads;
    this.#pod = pod;
    const name = `weft-traffic-${process.pid}-${++TrafficClient.#count}`;
    this.#output = `/tmp/${name}`;
    this.#stopFile = join(tmpdir(), name);
  }

  async start(address: string): Promise<void> {
    const command = [process.execPath, `${tools}traffic.ts`, address, ...ports, this.#stopFile, perSecond];
    const script = `chroot /host ${command.join(' ')} > ${this.#output} 2>&1 &`;
    await this.#workloads.exec(this.#pod, ['sh', '-c', script]);
    await this.#until(/^served$/m, startDeadlineMs);
  }

  async stop(): Promise<TrafficResult> {
    writeFileSync(this.#stopFile, '');
    try {
      const output = await this.#until(/^\{.*\}$/m, stopDeadlineMs);
      return JSON.parse(output.slice(output.indexOf('{'))) as TrafficResult;
    } finally {
      rmSync(this.#stopFile);
    }
  }

  async #until(said: RegExp, deadlineMs: number): Promise<string> {
    const deadline = performance.now() + deadlineMs;
    for (;;) {
      const { stdout, stderr } = await this.#workloads.tryIn(this.#pod, ['cat', this.#output]);
      if (said.test(stdout)) return stdout;
      assert.ok(performance.now() < deadline, `the traffic's client says: ${stdout}${stderr}`);
      await delay(200);
    }
  }
}

/** What became of the traffic of all clients. */
export class Traffic {
  readonly #results: readonly TrafficResult[];

  constructor(results: readonly TrafficResult[]) {
    this.#results = results;
  }

  failures(...kinds: readonly KindOfTraffic[]): Failure[] {
    return this.#results.flatMap((result) => kinds.flatMap((kind) => result[kind]?.failures ?? []));
  }

  report(t: TestContext, what: string): void {
    for (const kind of [...shortKinds, ...longKinds]) {
      const attempts = this.#results.reduce((sum, result) => sum + (result[kind]?.attempts ?? 0), 0);
      const failures = this.failures(kind);
      const shown = failures.length === 0 ? '' : `: ${JSON.stringify(failures.slice(0, 10))}`;
      t.diagnostic(`${what}, ${kind}: ${attempts}, of which ${failures.length} failed${shown}`);
    }
  }
}

/** From a pod of each node to pods of both, of all kinds. */
export async function underTraffic(workloads: Workloads, happen: () => Promise<void>): Promise<Traffic> {
  const address = await workloads.kubectl('get', 'service', 'traffic-server', '-o', 'jsonpath={.spec.clusterIP}');
  const clients = (await workloads.onePodPerNode('traffic-client')).map((pod) => new TrafficClient(workloads, pod));
  await Promise.all(clients.map((client) => client.start(address)));
  await delay(aroundMs);
  await happen();
  await delay(aroundMs);
  return new Traffic(await Promise.all(clients.map((client) => client.stop())));
}

/** Nothing that has an end of its own has failed, and whatever had none has gone on. */
export function assertNothingFailed(traffic: Traffic): void {
  assert.deepEqual(traffic.failures(...shortKinds, ...longKinds), []);
}

/** Until a client on a busy machine has read that a connection that it keeps was reset. */
const noticedMs = 100;

/** What has failed was on what was open when the last process of an agent had ended, and nothing was refused. */
export function assertOnlyOpenBroke(traffic: Traffic, endedAt: number): void {
  const failures = traffic.failures(...shortKinds, ...longKinds);
  const others = failures.filter(({ at, error }) => at > endedAt + noticedMs || error.includes('ECONNREFUSED'));
  assert.deepEqual(others, [], `the agent had ended at ${endedAt}`);
}
