import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { processesBelow } from '../cluster/cgroups.ts';
import { Cluster } from '../cluster/cluster.ts';
import { Installation, chartValues } from '../cluster/installation.ts';
import { program } from '../cluster/binaries.ts';
import { teardown } from '../cluster/teardown.ts';
import type { CommandResult } from '../lab/command.ts';
import type { Kind } from './cluster-pods.ts';
import {
  benchImage,
  clientPod,
  kinds,
  peerFile,
  peerPorts,
  peersConfig,
  ports,
  serverPod,
  webConfig,
} from './cluster-pods.ts';
import type { Load } from './loads.ts';
import { h2loadCommand, iperfCommand, readH2load, readIperf, readWrk, wrkCommand } from './loads.ts';
import { cpuSeconds, residentBytes } from './processes.ts';
import { Report } from './report.ts';
import { makeCertificates } from './tls-peers.ts';
import { bodyBytes } from './web-server.ts';

/**
 * A client and a server on two nodes of a real Kubernetes: Weft as it is installed, a pair of HAProxy with mutual TLS in the pods, and
 * nothing between. CPU is that of all processes on the way, both ends. docs/performance.md
 */

const name = 'bench';
const settings = { rounds: 5, seconds: 2, warmUpSeconds: 2 };
const deadlineMs = 60_000;
/** Of each agent; absent: as many as it has by default. Each HAProxy has one thread. */
const workers = process.env['WORKERS'];
const meshed = 'shop';
const plain = 'plain';

interface Way {
  readonly name: string;
  readonly namespace: string;
  readonly address: string;
  readonly port: (kind: Kind) => number;
  readonly pids: (kind: Kind) => readonly number[];
}

interface Case {
  readonly name: string;
  readonly kind: Kind;
  readonly unit: { readonly cost: string; readonly perCost: number; readonly rate: string };
  readonly load: (address: string, port: number, seconds: number) => readonly string[];
  readonly read: (result: CommandResult) => Load;
}

const requests = { cost: 'cpu_us', perCost: 1e-6, rate: 'rps' };
const cases: readonly Case[] = [
  { name: 'h1-keepalive', kind: 'http1', unit: requests, load: wrk(64), read: readWrk },
  {
    name: 'h1-connection-per-request',
    kind: 'http1',
    unit: requests,
    load: wrk(32, 'Connection: close'),
    read: readWrk,
  },
  { name: 'h2', kind: 'http2', unit: requests, load: h2load(8, 16), read: (result) => readH2load(result, bodyBytes) },
  {
    name: 'tcp-bulk',
    kind: 'bulk',
    unit: { cost: 'cpu_s_per_gb', perCost: 1, rate: 'gbit_per_s' },
    load: iperfCommand,
    read: readIperf,
  },
];
const report = new Report('cluster');
const folder = mkdtempSync(join(tmpdir(), 'weft-bench-cluster-'));
await teardown(name);
try {
  await run(await Cluster.up({ name }));
} finally {
  await teardown(name);
  rmSync(folder, { recursive: true, force: true });
}
report.print();
process.exit();

async function run(cluster: Cluster): Promise<void> {
  const [near, far] = cluster.nodes;
  if (near === undefined || far === undefined) throw new Error('the cluster has not two nodes');
  await cluster.loadImage(await benchImage());
  const weft = new Installation(cluster);
  await weft.loadImage();
  const chosen = workers === undefined ? [] : ['--set', `agent.workers=${workers}`];
  await weft.apply('install', ...chartValues, ...chosen);
  await weft.rolledOut();
  const labels = { 'weft.dev/mesh': 'enabled' };
  await cluster.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: meshed, labels } },
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: plain } },
  ]);
  const certificates = makeCertificates(folder);
  await cluster.apply([
    ...[meshed, plain].map(webConfig),
    peersConfig(plain, 'server', certificates, ''),
    ...[meshed, plain].map((namespace) => serverPod(namespace, far.name, namespace === plain)),
  ]);
  const addresses = new Map<string, string>();
  for (const namespace of [meshed, plain]) addresses.set(namespace, await ready(cluster, namespace, 'server'));
  await cluster.apply([
    peersConfig(plain, 'client', certificates, addresses.get(plain) ?? ''),
    ...[meshed, plain].map((namespace) => clientPod(namespace, near.name, namespace === plain)),
  ]);
  for (const namespace of [meshed, plain]) await ready(cluster, namespace, 'client');

  const agents = (): number[] =>
    cluster.nodes.flatMap(({ machine }) => processesBelow(join(machine.cgroup, 'weft-agent')));
  const proxies = (kind: Kind): number[] =>
    cluster.nodes.flatMap(({ machine }) =>
      machine.pidsOf('haproxy').filter((pid) => isStartedWith(pid, peerFile(kind))),
    );
  const direct = (kind: Kind): number => ports[kind];
  const ways: Way[] = [
    { name: 'weft', namespace: meshed, address: addresses.get(meshed) ?? '', port: direct, pids: agents },
    { name: 'haproxy', namespace: plain, address: '127.0.0.1', port: (kind) => peerPorts[kind], pids: proxies },
    { name: 'none', namespace: plain, address: addresses.get(plain) ?? '', port: direct, pids: () => [] },
  ];
  const wanted = process.env['CASES']?.split(',');
  for (const one of cases.filter((each) => wanted?.includes(each.name) ?? true)) await measure(cluster, one, ways);
  const perNode = (pids: readonly number[]): number => residentBytes(pids) / 1e6 / cluster.nodes.length;
  const peers = { haproxy: kinds.map((kind) => perNode(proxies(kind))).reduce((sum, each) => sum + each, 0) };
  report.add({ case: 'node', measure: 'rss_mb', weft: perNode(agents()), peers });
}

/** @returns its address */
async function ready(cluster: Cluster, namespace: string, pod: string): Promise<string> {
  await cluster.kubectl(['wait', '-n', namespace, '--for=condition=Ready', `pod/${pod}`, '--timeout=90s']);
  return await cluster.kubectl(['get', 'pod', '-n', namespace, pod, '-o', 'jsonpath={.status.podIP}']);
}

async function measure(
  cluster: Cluster,
  { name: caseName, kind, unit, load, read }: Case,
  ways: readonly Way[],
): Promise<void> {
  const carry = async (way: Way, seconds: number): Promise<Load> => {
    const command = load(way.address, way.port(kind), seconds);
    const exec = [program('kubectl'), 'exec', '-n', way.namespace, 'client', '-c', 'load', '--', ...command];
    const result = await cluster.run(exec, { timeoutMs: deadlineMs });
    try {
      return read(result);
    } catch (error) {
      throw new Error(`${caseName} by ${way.name}`, { cause: error });
    }
  };
  for (const way of ways) await carry(way, settings.warmUpSeconds);
  const costs = new Map<string, number[]>();
  const rates = new Map<string, number[]>();
  for (let round = 0; round < settings.rounds; round++) {
    for (const way of ways) {
      const pids = way.pids(kind);
      const before = cpuSeconds(pids);
      const { amount, perSecond } = await carry(way, settings.seconds);
      if (pids.length > 0) {
        const cost = (cpuSeconds(pids) - before) / amount / unit.perCost;
        costs.set(way.name, [...(costs.get(way.name) ?? []), cost]);
      }
      rates.set(way.name, [...(rates.get(way.name) ?? []), perSecond]);
    }
  }
  report.addMedians(caseName, unit.cost, costs);
  report.addMedians(caseName, unit.rate, rates);
}

function isStartedWith(pid: number, file: string): boolean {
  return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(file);
}

function wrk(connections: number, ...headers: readonly string[]): Case['load'] {
  return (address, port, seconds) => wrkCommand({ address, port, seconds, connections, headers });
}

function h2load(connections: number, streams: number): Case['load'] {
  return (address, port, seconds) => h2loadCommand({ address, port, seconds, connections, streams });
}
