import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { meshPlugin, waitUntil } from '../e2e/helpers.ts';
import type { CommandResult } from '../lab/command.ts';
import { LabAgent } from '../lab/agent.ts';
import { LabController } from '../lab/controller.ts';
import { Lab } from '../lab/lab.ts';
import { labFolder } from '../lab/layout.ts';
import type { LabPod } from '../lab/pod.ts';
import { startGrpcPairs, startHttp2Pairs, startHttpHops, startHttpPairs } from './http-peers.ts';
import type { Load } from './loads.ts';
import { h2loadCommand, makePortsPlenty, readH2load, readWrk, urlOf, wrkCommand } from './loads.ts';
import { cpuSeconds, processesOf } from './processes.ts';
import { Report } from './report.ts';
import type { PeerPair } from './tls-peers.ts';
import { makeCertificates } from './tls-peers.ts';
import { bodyBytes, webServer } from './web-server.ts';

/**
 * What a request of HTTP costs: between two nodes with mutual TLS, Weft's agents of both ends beside a pair of proxies; on one
 * node beside a single proxy. Everything of Weft is on: each request is decided and counted at each end. docs/performance.md
 */

const httpload = new URL('../../build/httpload', import.meta.url).pathname;
const grpcUnary = new URL('../../build/grpc-unary', import.meta.url).pathname;
const appPort = 8080;
const http2Port = 8081;
const grpcPort = 8082;
/** Rounds are interleaved, as the machine's speed drifts; the median counts. Before them each way carries requests that do not. */
const settings = { rounds: 5, seconds: 2, warmUpSeconds: 2 };
/** As each of the peers has one thread (http-peers.ts). WORKERS=2 is what an agent has by default on a machine of few cores. */
const workers = process.env['WORKERS'] ?? '1';
/** Of what the pair of HAProxy carries at most: the rate at which latencies are compared. */
const shareOfMost = 0.7;
const percentiles = ['p50_us', 'p90_us', 'p99_us'] as const;

interface Way {
  readonly name: string;
  readonly client: LabPod;
  readonly address: string;
  readonly port: number;
  readonly pids: () => readonly number[];
  /** HTTP/1.1 where it is absent. */
  readonly speaks?: 'http2' | 'grpc';
}

interface Case {
  readonly name: string;
  readonly ways: readonly Way[];
  readonly load: (way: Way, seconds: number) => Promise<Load>;
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
  const start = (node: typeof near): Promise<LabAgent> =>
    LabAgent.start(node, { flags: [...controller.flagsFor(node), '--workers', workers] });
  const [nearAgent, farAgent] = [await start(near), await start(far)];
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
  const certificates = makeCertificates(labFolder(lab.name));
  const asWayTo =
    (port: number) =>
    (pair: PeerPair): Way => {
      return {
        name: pair.name,
        client: plain.client,
        address: '127.0.0.1',
        port: pair.port(port),
        pids: () => pair.pids,
      };
    };
  const asWay = asWayTo(appPort);
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
  const http2: Way[] = [
    { ...weft, address: meshed.server.ipv4, port: http2Port, pids: pidsOf(near, far) },
    ...startHttp2Pairs(certificates, plain.client, plain.server, http2Port).map(asWayTo(http2Port)),
    { ...none, address: plain.server.ipv4, port: http2Port },
  ].map((way) => ({ ...way, speaks: 'http2' }));
  const grpc: Way[] = [
    { ...weft, address: meshed.server.ipv4, port: grpcPort, pids: pidsOf(near, far) },
    ...startGrpcPairs(certificates, plain.client, plain.server, grpcPort).map(asWayTo(grpcPort)),
    { ...none, address: plain.server.ipv4, port: grpcPort },
  ].map((way) => ({ ...way, speaks: 'grpc' }));
  const cases: Case[] = [
    { name: 'h1-keepalive', ways: between, load: wrk(64) },
    { name: 'h1-single', ways: between, load: wrk(1) },
    { name: 'h1-connection-per-request', ways: between, load: wrk(32, 'Connection: close') },
    { name: 'h1-same-node', ways: within, load: wrk(64) },
    { name: 'h2', ways: http2, load: h2load(8, 16) },
    { name: 'h2-single', ways: http2, load: h2load(1, 1) },
    { name: 'grpc-unary', ways: grpc, load: h2load(8, 16, ...grpcRequest('h2load')) },
  ];
  const wanted = process.env['CASES']?.split(',');
  const isWanted = ({ name }: { readonly name: string }): boolean => wanted?.includes(name) ?? true;
  for (const one of cases.filter(isWanted)) await measure(one);
  if (isWanted({ name: 'h1-latency' })) await measureLatency('h1-latency', between, 64);
} finally {
  await lab.down();
}
report.print();
process.exit();

async function measure({ name, ways, load }: Case): Promise<void> {
  const cpu = new Map<string, number[]>();
  const rate = new Map<string, number[]>();
  for (const way of ways) {
    await waitUntil(() => answers(way), 10_000, `${way.name} answers`);
    await load(way, settings.warmUpSeconds);
  }
  for (let round = 0; round < settings.rounds; round++) {
    for (const way of ways) {
      const before = cpuSeconds(way.pids());
      const { amount, perSecond } = await load(way, settings.seconds);
      const spent = cpuSeconds(way.pids()) - before;
      if (way.name !== 'none') cpu.set(way.name, [...(cpu.get(way.name) ?? []), (spent / amount) * 1e6]);
      rate.set(way.name, [...(rate.get(way.name) ?? []), perSecond]);
    }
  }
  for (const [measureName, values] of [
    ['cpu_us', cpu],
    ['rps', rate],
  ] as const) {
    report.addMedians(name, measureName, values);
  }
}

/** At a rate that all ways can carry, from the time at which each request was due. */
async function measureLatency(name: string, ways: readonly Way[], connections: number): Promise<void> {
  const slowest = ways.find((way) => way.name === 'haproxy');
  if (slowest === undefined) throw new Error('there is no HAProxy to compare with');
  for (const way of ways) {
    await waitUntil(() => answers(way), 10_000, `${way.name} answers`);
    await wrk(connections)(way, settings.warmUpSeconds);
  }
  const most = await wrk(connections)(slowest, settings.seconds);
  const rate = Math.floor(most.perSecond * shareOfMost);
  const measured = percentiles.map((percentile) => ({ percentile, values: new Map<string, number[]>() }));
  for (let round = 0; round < settings.rounds; round++) {
    for (const { name: wayName, client, address, port } of ways) {
      const parameters = [address, port, connections, rate, settings.seconds].map(String);
      const { stdout, stderr } = await client.run([httpload, ...parameters]);
      if (!stdout.startsWith('{')) throw new Error(`${wayName}: ${stderr}`);
      const told = JSON.parse(stdout) as Record<(typeof percentiles)[number] | 'errors', number>;
      if (told.errors > 0) throw new Error(`${wayName}: ${stdout}`);
      for (const { percentile, values } of measured)
        values.set(wayName, [...(values.get(wayName) ?? []), told[percentile]]);
    }
  }
  report.add({ case: name, measure: 'rate_per_s', weft: rate, peers: {} });
  for (const { percentile, values } of measured) report.addMedians(name, percentile, values);
}

async function answers({ client, address, port, speaks }: Way): Promise<boolean> {
  const options = ['-s', '-m', '2'];
  if (speaks !== undefined) options.push('--http2-prior-knowledge');
  const isGrpc = speaks === 'grpc';
  options.push(...(isGrpc ? ['-i', ...grpcRequest('curl')] : ['-o', '/dev/null', '-w', '%{http_code}']));
  const { stdout } = await client.run(['curl', ...options, urlOf({ address, port })]);
  return isGrpc ? stdout.includes('grpc-status: 0') : stdout === '200';
}

/** What makes curl and h2load clients of gRPC: one message, as any of them sends it. */
function grpcRequest(tool: 'curl' | 'h2load'): string[] {
  const file = join(labFolder(lab.name), 'grpc-message');
  const prefix = Buffer.alloc(5); // it is not compressed; its length
  prefix.writeUInt32BE(bodyBytes, 1);
  writeFileSync(file, Buffer.concat([prefix, Buffer.alloc(bodyBytes, 'x')]));
  const data = tool === 'curl' ? ['--data-binary', `@${file}`] : ['-d', file];
  return [...data, '-H', 'content-type: application/grpc', '-H', 'te: trailers'];
}

function wrk(connections: number, ...headers: readonly string[]): Case['load'] {
  return async (way, seconds) => {
    const { client, address, port } = way;
    return read(way, readWrk, await client.run(wrkCommand({ address, port, seconds, connections, headers })));
  };
}

/** @param streams at a time on each connection */
function h2load(connections: number, streams: number, ...request: readonly string[]): Case['load'] {
  return async (way, seconds) => {
    const { client, address, port } = way;
    const result = await client.run(h2loadCommand({ address, port, seconds, connections, streams, request }));
    return read(way, (told) => readH2load(told, bodyBytes), result);
  };
}

function read({ name }: Way, reader: (result: CommandResult) => Load, result: CommandResult): Load {
  try {
    return reader(result);
  } catch (error) {
    throw new Error(`by ${name}`, { cause: error });
  }
}

function serve(pod: LabPod): void {
  const file = join(labFolder(pod.node.lab.name), `app-${pod.uid}.conf`);
  writeFileSync(file, webServer(`${file}.pid`, [`0.0.0.0:${appPort}`, `0.0.0.0:${http2Port} http2`]));
  pod.spawn(['nginx', '-c', file]);
  pod.spawn([grpcUnary, String(grpcPort)]);
}
