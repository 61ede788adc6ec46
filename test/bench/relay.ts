import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { LabAgent } from '../lab/agent.ts';
import { labFolder } from '../lab/layout.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, echo, hold, meshPlugin, waitUntil } from '../e2e/helpers.ts';
import { iperfCommand, iperfServer, makePortsPlenty, median, readIperf } from './loads.ts';
import type { Result } from './report.ts';
import { Report } from './report.ts';
import { cpuSeconds, processesOf, anonymousBytes } from './processes.ts';

/** What the TCP relay costs, beside HAProxy on the same pods, and what joining the mesh takes. */

const bulkSeconds = 3;
const connections = 8000;
const idleConnections = { warm: 1000, measured: 2900 }; // a process may hold 20,000 descriptors
const pairs = 3; // runs are interleaved, as the machine's speed drifts; the median counts

const report = new Report('relay');
const lab = await Lab.up({
  nodes: ['a', 'b'],
  meshPlugin,
  unmeshedNodes: ['b'],
  namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }, { name: 'plain' }],
});
try {
  const node = lab.node('a');
  const agent = await LabAgent.start(node);
  const meshed = await node.addPod({ name: 'meshed', namespace: 'shop' });
  const plain = await node.addPod({ name: 'plain', namespace: 'plain' });
  const proxies = {
    haproxy: await node.addPod({ name: 'haproxy', namespace: 'plain' }),
    'haproxy-splice': await node.addPod({ name: 'haproxy-splice', namespace: 'plain' }),
  };
  const server = await lab.node('b').addPod({ name: 'server', namespace: 'plain' });
  await agent.enrolled('meshed');
  for (const pod of [meshed, plain, ...Object.values(proxies)]) await makePortsPlenty(pod);
  await echo(server, 9000);
  iperfServer(server, 5201);
  const weft = (): number[] => processesOf(node.agentCgroup);

  interface Way {
    readonly name: string;
    readonly client: LabPod;
    readonly address: string;
    readonly pids: () => number[];
  }
  const ways: readonly Way[] = [
    { name: 'weft', client: meshed, address: server.ipv4, pids: weft },
    ...Object.entries(proxies).map(([name, pod]) => {
      const pid = startHaproxy(pod, server.ipv4, name === 'haproxy-splice');
      return { name, client: plain, address: pod.ipv4, pids: () => [pid] };
    }),
    { name: 'none', client: plain, address: server.ipv4, pids: () => [] },
  ];
  await new Promise((resolve) => setTimeout(resolve, 1000));

  const byWay = (values: readonly (number | null)[]): Pick<Result, 'weft' | 'peers'> => ({
    weft: values[0] ?? null,
    peers: Object.fromEntries(ways.slice(1).map(({ name }, index) => [name, values[index + 1] ?? null])),
  });

  // First, as memory that an earlier load has left free would hide what is needed.
  const idle: (number | null)[] = [];
  for (const way of ways.slice(0, -1)) {
    const warm = await hold(way.client, way.address, 9000, idleConnections.warm);
    const before = anonymousBytes(way.pids());
    const held = await hold(way.client, way.address, 9000, idleConnections.measured);
    idle.push((anonymousBytes(way.pids()) - before) / idleConnections.measured);
    await warm.finish();
    await held.finish();
  }
  report.add({ case: 'idle', measure: 'bytes_per_connection', ...byWay([...idle, null]) });

  const bulk = ways.map(() => ({ cpu: [] as number[], rate: [] as number[] }));
  const connection = ways.map(() => [] as number[]);
  for (let pair = 0; pair < pairs; pair++) {
    for (const [index, way] of ways.entries()) {
      const before = cpuSeconds(way.pids());
      const { amount, perSecond } = readIperf(await way.client.run(iperfCommand(way.address, 5201, bulkSeconds)));
      bulk[index]?.cpu.push((cpuSeconds(way.pids()) - before) / amount);
      bulk[index]?.rate.push(perSecond);
      const beforeConnections = cpuSeconds(way.pids());
      await churn(way.client, way.address, 9000, connections, 32, 0);
      connection[index]?.push(((cpuSeconds(way.pids()) - beforeConnections) / connections) * 1e6);
    }
  }
  const noProxy = ways.length - 1;
  const costs = (values: readonly number[][]): (number | null)[] =>
    values.map((value, index) => (index === noProxy ? null : median(value)));
  report.add({ case: 'bulk', measure: 'cpu_s_per_gb', ...byWay(costs(bulk.map(({ cpu }) => cpu))) });
  report.add({ case: 'bulk', measure: 'gbit_per_s', ...byWay(bulk.map(({ rate }) => median(rate))) });
  report.add({ case: 'connection', measure: 'cpu_us', ...byWay(costs(connection)) });

  const adds = { with: [] as number[], without: [] as number[] };
  for (let round = 0; round < 15; round++) {
    adds.with.push(await timeAdd('a', `with${round}`, 'shop'));
    adds.without.push(await timeAdd('b', `without${round}`, 'plain'));
  }
  report.add({ case: 'cni-add', measure: 'ms', weft: median(adds.with), peers: { none: median(adds.without) } });

  const many = await Promise.all(
    Array.from({ length: 100 }, (_, index) => node.addPod({ name: `many${index}`, namespace: 'many' })),
  );
  const begin = performance.now();
  lab.objects.setNamespace({ name: 'many', labels: { 'weft.dev/mesh': 'enabled' } });
  const joined = (): Set<unknown> =>
    new Set(agent.lines.filter(({ msg }) => msg.endsWith('joined the mesh')).map((line) => line['pod']));
  await waitUntil(
    () => {
      const names = joined();
      return many.every(({ spec }) => names.has(spec.name));
    },
    30_000,
    'all 100 pods are in the mesh',
  );
  report.add({ case: 'enrol-100', measure: 's', weft: (performance.now() - begin) / 1000, peers: {} });
} finally {
  await lab.down();
}
report.print();
process.exit();

async function timeAdd(nodeName: string, name: string, namespace: string): Promise<number> {
  const begin = performance.now();
  const pod = await lab.node(nodeName).addPod({ name, namespace });
  const took = performance.now() - begin;
  await pod.delete();
  return took;
}

/** One thread, in the foreground; returns its pid. */
function startHaproxy(pod: LabPod, server: string, splice: boolean): number {
  const path = join(labFolder(lab.name), `${pod.spec.name}.cfg`);
  const section = (port: number): string => `listen port-${port}\n  bind :${port}\n  server s ${server}:${port}\n`;
  writeFileSync(
    path,
    'global\n  nbthread 1\n  maxconn 4000\ndefaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n' +
      (splice ? '  option splice-auto\n  option splice-request\n  option splice-response\n' : '') +
      section(9000) +
      section(5201),
  );
  const child = pod.spawn(['haproxy', '-db', '-f', path]);
  if (child.pid === undefined) throw new Error('haproxy cannot be started');
  return child.pid; // the shell and nsenter before it have become it
}
