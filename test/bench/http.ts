import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { meshPlugin, waitUntil } from '../e2e/helpers.ts';
import { LabAgent } from '../lab/agent.ts';
import { LabController } from '../lab/controller.ts';
import { Lab } from '../lab/lab.ts';
import { labFolder } from '../lab/layout.ts';
import type { LabPod } from '../lab/pod.ts';
import { startHttpHops, startHttpPairs } from './http-peers.ts';
import { makePortsPlenty, median } from './loads.ts';
import { cpuSeconds, processesOf } from './processes.ts';
import { Report } from './report.ts';
import { makeCertificates } from './tls-peers.ts';

/**
 * What a request of HTTP/1.1 costs: between two nodes with mutual TLS, Weft's agents of both ends beside a pair of proxies; on one
 * node beside a single proxy. Everything of Weft is on: each request is decided and counted at each end.
 */

const appPort = 8080;
/** Rounds are interleaved, as the machine's speed drifts; the median counts. */
const settings = { rounds: 5, seconds: 2 };

interface Way {
  readonly name: string;
  readonly client: LabPod;
  readonly address: string;
  readonly port: number;
  readonly pids: () => readonly number[];
}

interface Case {
  readonly name: string;
  readonly connections: number;
  readonly headers: readonly string[];
  readonly ways: readonly Way[];
}

interface Load {
  readonly requests: number;
  readonly perSecond: number;
}

const report = new Report('http');
const lab = await Lab.up({
  nodes: ['a', 'b', 'c'],
  meshPlugin,
  unmeshedNodes: ['c'],
  namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }, { name: 'plain' }],
});
try {
  const controller = await LabController.start(lab.node('c'));
  const [near, far] = [lab.node('a'), lab.node('b')];
  const nearAgent = await LabAgent.start(near, { flags: controller.flagsFor(near) });
  const farAgent = await LabAgent.start(far, { flags: controller.flagsFor(far) });
  const add = async (node: typeof near, namespace: string, name: string): Promise<LabPod> => {
    const pod = await node.addPod({ name, namespace, serviceAccount: name });
    await makePortsPlenty(pod);
    return pod;
  };
  const meshed = {
    client: await add(near, 'shop', 'client'),
    server: await add(far, 'shop', 'server'),
    neighbour: await add(near, 'shop', 'neighbour'),
  };
  const plain = {
    client: await add(near, 'plain', 'plain-client'),
    server: await add(far, 'plain', 'plain-server'),
    neighbour: await add(near, 'plain', 'plain-neighbour'),
  };
  for (const { server, neighbour } of [meshed, plain]) for (const pod of [server, neighbour]) serve(pod);
  for (const name of ['client', 'neighbour']) await nearAgent.enrolled(name);
  await farAgent.enrolled('server');

  const pidsOf = (...nodes: readonly (typeof near)[]): (() => number[]) => {
    return () => nodes.flatMap((node) => processesOf(node.agentCgroup));
  };
  const weft = { name: 'weft', client: meshed.client, port: appPort };
  const none = { name: 'none', client: plain.client, port: appPort, pids: () => [] };
  const asWay = (pair: ReturnType<typeof startHttpPairs>[number]): Way => {
    return {
      name: pair.name,
      client: plain.client,
      address: '127.0.0.1',
      port: pair.port(appPort),
      pids: () => pair.pids,
    };
  };
  const certificates = makeCertificates(labFolder(lab.name));
  const between: Way[] = [
    { ...weft, address: meshed.server.ipv4, pids: pidsOf(near, far) },
    ...startHttpPairs(certificates, plain.client, plain.server, appPort).map(asWay),
    { ...none, address: plain.server.ipv4 },
  ];
  const within: Way[] = [
    { ...weft, address: meshed.neighbour.ipv4, pids: pidsOf(near) },
    ...startHttpHops(certificates, plain.client, plain.neighbour, appPort).map(asWay),
    { ...none, address: plain.neighbour.ipv4 },
  ];
  const cases: Case[] = [
    { name: 'h1-keepalive', connections: 64, headers: [], ways: between },
    { name: 'h1-single', connections: 1, headers: [], ways: between },
    { name: 'h1-connection-per-request', connections: 32, headers: ['Connection: close'], ways: between },
    { name: 'h1-same-node', connections: 64, headers: [], ways: within },
  ];
  const wanted = process.env['CASES']?.split(',');
  for (const one of cases.filter(({ name }) => wanted?.includes(name) ?? true)) await measure(one);
} finally {
  await lab.down();
}
report.print();
process.exit();

async function measure({ name, connections, headers, ways }: Case): Promise<void> {
  const cpu = new Map<string, number[]>();
  const rate = new Map<string, number[]>();
  for (const way of ways) await waitUntil(() => answers(way), 10_000, `${way.name} answers`);
  for (let round = 0; round < settings.rounds; round++) {
    for (const way of ways) {
      const before = cpuSeconds(way.pids());
      const { requests, perSecond } = await load(way, connections, headers);
      const spent = cpuSeconds(way.pids()) - before;
      if (way.name !== 'none') cpu.set(way.name, [...(cpu.get(way.name) ?? []), (spent / requests) * 1e6]);
      rate.set(way.name, [...(rate.get(way.name) ?? []), perSecond]);
    }
  }
  for (const [measureName, values] of [
    ['cpu_us', cpu],
    ['rps', rate],
  ] as const) {
    const medians = new Map([...values].map(([way, each]) => [way, median(each)]));
    const { weft = null, ...peers } = Object.fromEntries(medians);
    report.add({ case: name, measure: measureName, weft, peers });
  }
}

async function answers({ client, address, port }: Way): Promise<boolean> {
  const { stdout } = await client.run([
    'curl',
    '-s',
    '-m',
    '2',
    '-o',
    '/dev/null',
    '-w',
    '%{http_code}',
    url(address, port),
  ]);
  return stdout === '200';
}

async function load(
  { name, client, address, port }: Way,
  connections: number,
  headers: readonly string[],
): Promise<Load> {
  const options = ['-t', '1', '-c', String(connections), '-d', `${settings.seconds}s`];
  const more = headers.flatMap((header) => ['-H', header]);
  const { stdout, stderr } = await client.run(['wrk', ...options, ...more, url(address, port)]);
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1]);
  const perSecond = Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1]);
  const faults = /Non-2xx.*|Socket errors.*/.exec(stdout)?.[0];
  if (!(requests > 0) || faults !== undefined) throw new Error(`${name}: ${faults ?? stdout + stderr}`);
  return { requests, perSecond };
}

function url(address: string, port: number): string {
  return `http://${address}:${port}/`;
}

/** An app that answers with as many bytes as the prototype's did. */
function serve(pod: LabPod): void {
  const file = join(labFolder(pod.node.lab.name), `app-${pod.uid}.conf`);
  writeFileSync(
    file,
    `user root;
daemon off;
master_process off;
pid ${file}.pid;
error_log stderr emerg;
worker_rlimit_nofile 20000;
events { worker_connections 16000; }
http {
  access_log off;
  keepalive_requests 1000000;
  server { listen 0.0.0.0:${appPort}; location / { return 200 "${'x'.repeat(100)}"; } }
}
`,
  );
  pod.spawn(['nginx', '-c', file]);
}
