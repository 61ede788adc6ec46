import { LabAgent } from '../lab/agent.ts';
import { LabController } from '../lab/controller.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, echo, hold, meshPlugin } from '../e2e/helpers.ts';
import { iperfCommand, iperfServer, makePortsPlenty, median, readIperf } from './loads.ts';
import { anonymousBytes, cpuSeconds, processesOf } from './processes.ts';
import type { Result } from './report.ts';
import { Report } from './report.ts';
import { startPeers } from './tls-peers.ts';

/**
 * What mutual TLS between two nodes costs at both ends together: Weft's agents, beside a proxy in the client's pod and one in the
 * server's.
 */

const appPort = 9000;
const bulkPort = 5201;

const settings = {
  rounds: 5, // interleaved, as the machine's speed drifts; the median counts
  bulkSeconds: 2,
  connections: 6000,
  peerConnections: 1500,
  idle: { warm: 1000, measured: 3000 }, // peers may hold 20,000 descriptors
  accounts: 10,
  ports: 200,
};
/** Cases to run, of idle, bulk and short-connection. */
const wanted = (process.env['CASES'] ?? 'idle,bulk,short-connection').split(',');

interface Way {
  readonly name: string;
  readonly client: LabPod;
  readonly address: string;
  readonly pids: () => readonly number[];
  readonly port: (server: number) => number;
}

const report = new Report('tls');
const lab = await Lab.up({
  nodes: ['a', 'b', 'c'],
  meshPlugin,
  unmeshedNodes: ['c'],
  namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }, { name: 'plain' }],
});
try {
  const controller = await LabController.start(lab.node('c'));
  const nodes = { client: lab.node('a'), server: lab.node('b') };
  const agents = {
    client: await LabAgent.start(nodes.client, { flags: controller.flagsFor(nodes.client) }),
    server: await LabAgent.start(nodes.server, { flags: controller.flagsFor(nodes.server) }),
  };
  const addPods = async (namespace: string, name: string): Promise<{ client: LabPod; server: LabPod }> => {
    const pods = {
      client: await nodes.client.addPod({ name: `${name}-client`, namespace, serviceAccount: `${name}-client` }),
      server: await nodes.server.addPod({ name: `${name}-server`, namespace, serviceAccount: `${name}-server` }),
    };
    await makePortsPlenty(pods.client);
    await makePortsPlenty(pods.server);
    return pods;
  };
  const meshed = await addPods('shop', 'meshed');
  const plain = await addPods('plain', 'plain');
  for (const { server } of [meshed, plain]) {
    await echo(server, `${appPort}-${appPort + settings.ports - 1}`);
    iperfServer(server, bulkPort);
  }
  await agents.client.enrolled(meshed.client.spec.name);
  await agents.server.enrolled(meshed.server.spec.name);

  const weft: Way = {
    name: 'weft',
    client: meshed.client,
    address: meshed.server.ipv4,
    pids: () => [...processesOf(nodes.client.agentCgroup), ...processesOf(nodes.server.agentCgroup)],
    port: (server) => server,
  };
  const proxies = startPeers(plain.client, plain.server, [appPort, bulkPort]).map((pair): Way => {
    return { ...pair, client: plain.client, address: '127.0.0.1', pids: () => pair.pids };
  });
  const none: Way = { ...weft, name: 'none', client: plain.client, address: plain.server.ipv4, pids: () => [] };
  const ways = [weft, ...proxies];
  await new Promise((resolve) => setTimeout(resolve, 1000));
  for (const way of [...ways, none]) await connect(way, appPort, 50, 4);
  await proveShared(weft);

  if (wanted.includes('idle')) {
    // First, as memory that an earlier load has left free would hide what is needed.
    const kilobytes = new Map<string, number>();
    for (const way of ways) kilobytes.set(way.name, (await idleBytes(way)) / 1000);
    add('idle', 'kb_per_connection', kilobytes);
  }

  if (wanted.includes('bulk')) {
    const cpu = new Map<string, number[]>();
    const rate = new Map<string, number[]>();
    for (let round = 0; round < settings.rounds; round++) {
      for (const way of [...ways.filter(({ name }) => !name.endsWith('-full')), none]) {
        const before = cpuSeconds(way.pids());
        const command = iperfCommand(way.address, way.port(bulkPort), settings.bulkSeconds);
        const { amount, perSecond } = readIperf(await way.client.run(command));
        if (way !== none) append(cpu, way, (cpuSeconds(way.pids()) - before) / amount);
        append(rate, way, perSecond);
      }
    }
    add('bulk', 'cpu_s_per_gb', medians(cpu));
    add('bulk', 'gbit_per_s', medians(rate));
  }

  if (wanted.includes('short-connection')) {
    const steady = new Map<string, number[]>();
    for (let round = 0; round < settings.rounds; round++) {
      // Each with the handshakes that it needs: Weft's pool is empty at first, and tunnels are replaced as they age.
      for (const way of ways) {
        const count = way === weft ? settings.connections : settings.peerConnections;
        append(steady, way, await cpuMicroseconds(way, appPort, count, 32));
      }
    }
    add('short-connection', 'cpu_us', medians(steady));
    // Of Weft's, those that open a tunnel. Proxies shake hands for each connection, so theirs are the figures from above.
    const full = ([name]: [string, unknown]): boolean => name.endsWith('-full');
    const peers = [...medians(steady)].filter(([name]) => name !== 'weft');
    const resumed = await resumedMicroseconds(weft);
    add('short-connection-resumed', 'cpu_us', new Map([['weft', resumed], ...peers.filter((peer) => !full(peer))]));
    const cold = await coldMicroseconds(await addAccounts());
    add('short-connection-cold', 'cpu_us', new Map([['weft', cold], ...peers.filter(full)]));
  }

  function add(name: string, measure: string, values: ReadonlyMap<string, number>): void {
    const others = [...values].filter(([way]) => way !== 'weft');
    const result: Result = {
      case: name,
      measure,
      weft: values.get('weft') ?? null,
      peers: Object.fromEntries(others),
    };
    report.add(result);
  }

  /** A connection through tunnels must not have one of its own between the nodes: else something else than meant is measured. */
  async function proveShared(way: Way): Promise<void> {
    const held = await hold(way.client, way.address, appPort, 100);
    const { stdout } = await way.client.run(['ss', '-Htn', 'state', 'established', 'dst', way.address]);
    const sockets = stdout.trim().split('\n').length;
    await held.finish();
    if (sockets > 120) throw new Error(`100 connections need ${sockets} sockets in the pod: no tunnels are used`);
  }

  async function idleBytes(way: Way): Promise<number> {
    const warm = await hold(way.client, way.address, way.port(appPort), settings.idle.warm);
    const before = anonymousBytes(way.pids());
    const held = await hold(way.client, way.address, way.port(appPort), settings.idle.measured);
    const bytes = anonymousBytes(way.pids()) - before;
    for (const { finish } of [warm, held]) {
      const { failed } = await finish();
      if (failed > 0) throw new Error(`${way.name}: ${failed} idle connections did not work`);
    }
    return bytes / settings.idle.measured;
  }

  /** Every port has a tunnel of its own, and a ticket is at hand for each but the first. */
  async function resumedMicroseconds(way: Way): Promise<number> {
    const ports = `${appPort}-${appPort + settings.ports - 1}`;
    // Both workers learn of every port; a pod's tunnels are its own.
    const { client } = await addClient('warm');
    await connect({ ...way, client }, ports, settings.ports * 12, 8);
    return cpuMicroseconds(way, ports, settings.ports, 1);
  }

  async function addClient(name: string): Promise<{ client: LabPod }> {
    const client = await nodes.client.addPod({ name, namespace: 'shop', serviceAccount: name });
    await agents.client.enrolled(name);
    return { client };
  }

  /** Clients and servers with an identity each: sessions are resumed only between the same two. */
  async function addAccounts(): Promise<readonly Way[]> {
    const clients: LabPod[] = [];
    const servers: LabPod[] = [];
    const { client: warm } = await addClient('warm-accounts');
    for (let index = 0; index < settings.accounts; index++) {
      clients.push((await addClient(`client${index}`)).client);
      const name = `server${index}`;
      const server = await nodes.server.addPod({ name, namespace: 'shop', serviceAccount: name });
      await agents.server.enrolled(name);
      await echo(server, appPort);
      servers.push(server);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
    for (const { ipv4 } of servers) await connect({ ...weft, client: warm, address: ipv4 }, appPort, 16, 4);
    return servers.flatMap(({ ipv4: address }) => clients.map((client) => ({ ...weft, client, address })));
  }

  async function coldMicroseconds(pairs: readonly Way[]): Promise<number> {
    const before = cpuSeconds(weft.pids());
    for (const pair of pairs) await connect(pair, appPort, 1, 1);
    return ((cpuSeconds(weft.pids()) - before) / pairs.length) * 1e6;
  }
} finally {
  await lab.down();
}
report.print();
process.exit();

async function connect(way: Way, ports: number | string, count: number, concurrency: number): Promise<void> {
  const port = typeof ports === 'number' ? way.port(ports) : ports;
  const { failed, errors } = await churn(way.client, way.address, port, count, concurrency, 0);
  if (failed > 0) throw new Error(`${way.name}: ${failed} of ${count} connections failed: ${JSON.stringify(errors)}`);
}

async function cpuMicroseconds(way: Way, ports: number | string, count: number, concurrency: number): Promise<number> {
  const before = cpuSeconds(way.pids());
  await connect(way, ports, count, concurrency);
  return ((cpuSeconds(way.pids()) - before) / count) * 1e6;
}

function append(values: Map<string, number[]>, { name }: Way, value: number): void {
  values.set(name, [...(values.get(name) ?? []), value]);
}

function medians(values: ReadonlyMap<string, readonly number[]>): ReadonlyMap<string, number> {
  return new Map([...values].map(([name, each]) => [name, median(each)]));
}
