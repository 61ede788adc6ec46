/** The kubelet's own probes, of pods in the mesh and outside of it. */
import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Cluster } from './cluster.ts';
import { imageNames, imageTar, withLibraries } from './images.ts';
import type { LogLine } from './mesh.ts';
import { ProcessMesh } from './mesh.ts';
import { teardown } from './teardown.ts';
import type { Pod } from './workloads.ts';

const name = 'probes';
const namespaces = { plain: 'plain', meshed: 'meshed' } as const;
const served = { declared: 8080, undeclared: 8081, grpc: 2379 };
const unserved = 9999;
const settleMs = 60_000;
/** Some probes of each pod. */
const holdMs = 5000;
/** Serves grpc.health.v1. */
const grpcImage = 'weft.test/etcd:1';

interface Case {
  readonly name: string;
  readonly probe: object;
  readonly passes: boolean;
  readonly kind?: 'readinessProbe' | 'livenessProbe';
  readonly grpc?: boolean;
}

const http = (port: number, path = '/ok'): object => ({ httpGet: { path, port } });
const tcp = (port: number): object => ({ tcpSocket: { port } });
const exec = (file: string): object => ({ exec: { command: ['test', '-e', file] } });
const grpc = (port: number, service = ''): object => ({ grpc: { port, service } });

const cases: readonly Case[] = [
  { name: 'http', probe: http(served.declared), passes: true },
  { name: 'http-undeclared', probe: http(served.undeclared), passes: true },
  { name: 'http-not-found', probe: http(served.declared, '/nothing'), passes: false },
  { name: 'http-unserved', probe: http(unserved), passes: false },
  { name: 'tcp', probe: tcp(served.declared), passes: true },
  { name: 'tcp-undeclared', probe: tcp(served.undeclared), passes: true },
  { name: 'tcp-unserved', probe: tcp(unserved), passes: false },
  { name: 'exec', probe: exec('/tmp/www/ok'), passes: true },
  { name: 'exec-fails', probe: exec('/tmp/nothing'), passes: false },
  { name: 'grpc', probe: grpc(served.grpc), passes: true, grpc: true },
  { name: 'grpc-unknown', probe: grpc(served.grpc, 'nobody'), passes: false, grpc: true },
  { name: 'grpc-unserved', probe: grpc(unserved), passes: false, grpc: true },
  { name: 'live', probe: http(served.declared), passes: true, kind: 'livenessProbe' },
  { name: 'not-live', probe: tcp(unserved), passes: false, kind: 'livenessProbe' },
];

interface Event {
  readonly involvedObject: { readonly name: string };
  readonly message: string;
  readonly count?: number;
}

suite('probes of the kubelet', () => {
  let cluster: Cluster;
  let mesh: ProcessMesh;

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name, nodes: 1 });
    const files = withLibraries('/usr/bin/etcd', '/bin/etcd');
    await cluster.loadImage(await imageTar({ name: grpcImage, files, entrypoint: ['/bin/etcd'] }));
    mesh = new ProcessMesh(cluster);
    await mesh.up();
    const labels = { 'weft.dev/mesh': 'enabled' };
    await cluster.apply([
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespaces.plain } },
      { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespaces.meshed, labels } },
    ]);
    await cluster.apply(Object.values(namespaces).flatMap((namespace) => cases.map((one) => podOf(one, namespace))));
  });

  after(async () => {
    await teardown(name);
  });

  /** What the agent has said. */
  function count(matches: (line: LogLine) => boolean): number {
    return cluster.nodes.flatMap((node) => mesh.agentLines(node)).filter(matches).length;
  }

  async function podsOf(namespace: string): Promise<Map<string, Pod>> {
    const list = await cluster.kubectl(['get', 'pods', '-n', namespace, '-o', 'json']);
    const { items } = JSON.parse(list) as { items: Pod[] };
    return new Map(items.map((pod) => [pod.metadata.name, pod]));
  }

  /** What the kubelet says most often of each pod that fails, but for its address. */
  async function complaints(namespace: string): Promise<Map<string, string>> {
    const list = await cluster.kubectl([
      'get',
      'events',
      '-n',
      namespace,
      '--field-selector=reason=Unhealthy',
      '-o',
      'json',
    ]);
    const { items } = JSON.parse(list) as { items: Event[] };
    const failing = cases.filter(({ passes }) => !passes).map((one) => one.name);
    const found = new Map<string, Event>();
    for (const event of items) {
      const { name: pod } = event.involvedObject;
      if (failing.includes(pod) && (event.count ?? 1) > (found.get(pod)?.count ?? 0)) found.set(pod, event);
    }
    return new Map([...found].map(([pod, { message }]) => [pod, message.replaceAll(/10\.244\.\d+\.\d+/g, 'POD')]));
  }

  /** Who is ready; of liveness, who was never restarted. */
  async function verdicts(namespace: string): Promise<Record<string, boolean>> {
    const pods = await podsOf(namespace);
    return Object.fromEntries(
      cases.map((one) => {
        const [status] = pods.get(one.name)?.status.containerStatuses ?? [];
        return [one.name, one.kind === 'livenessProbe' ? status?.restartCount === 0 : status?.ready === true];
      }),
    );
  }

  const expected = Object.fromEntries(cases.map((one) => [one.name, one.passes]));

  /** As expected once everybody has been probed, and from then on. */
  async function settle(namespace: string): Promise<void> {
    const deadline = performance.now() + settleMs;
    for (;;) {
      const found = await verdicts(namespace);
      const all = (await complaints(namespace)).size === cases.filter(({ passes }) => !passes).length;
      if (all && JSON.stringify(found) === JSON.stringify(expected)) break;
      if (performance.now() > deadline) assert.deepEqual({ ...found, all }, { ...expected, all: true }, namespace);
      await delay(500);
    }
    for (const end = performance.now() + holdMs; performance.now() < end; await delay(300))
      assert.deepEqual(await verdicts(namespace), expected, namespace);
  }

  async function becomesReady(namespace: string, ready: boolean): Promise<void> {
    const deadline = performance.now() + settleMs;
    while ((await verdicts(namespace))['http'] !== ready) {
      assert.ok(performance.now() < deadline, `${namespace} does not become ${ready ? 'ready' : 'unready'}`);
      await delay(200);
    }
  }

  async function clientsOf(namespace: string): Promise<string[]> {
    const log = await cluster.kubectl(['logs', '-n', namespace, 'http']);
    return [...new Set(log.match(/(?<=\[)[0-9a-f.:]+(?=\]:\d+)/g))];
  }

  test('without the mesh: ready and live is who serves what is asked for', () => settle(namespaces.plain));

  test('in the mesh: the same, and failures are told in the same words', async () => {
    assert.equal(
      count(({ msg }) => msg === 'new pod joined the mesh'),
      cases.length,
    );
    await settle(namespaces.meshed);
    assert.deepEqual(await complaints(namespaces.meshed), await complaints(namespaces.plain));
  });

  test('the app sees the kubelet at the same address', async () => {
    const clients = await clientsOf(namespaces.plain);
    assert.equal(clients.length, 1);
    assert.deepEqual(await clientsOf(namespaces.meshed), clients);
  });

  test('what an app says from one moment to the next is heeded', async () => {
    for (const namespace of Object.values(namespaces)) {
      const run = (...command: string[]) => cluster.kubectl(['exec', '-n', namespace, 'http', '--', ...command]);
      await run('rm', '/tmp/www/ok');
      await becomesReady(namespace, false);
      await run('touch', '/tmp/www/ok');
      await becomesReady(namespace, true);
    }
  });

  test('running pods that join the mesh, and leave it, are found as before', async () => {
    const until = async (matches: (line: LogLine) => boolean): Promise<void> => {
      const deadline = performance.now() + settleMs;
      for (; count(matches) < cases.length; await delay(50)) assert.ok(performance.now() < deadline, 'not all pods');
    };
    await cluster.kubectl(['label', 'namespace', namespaces.plain, 'weft.dev/mesh=enabled']);
    await until(({ msg }) => msg === 'running pod joined the mesh');
    await settle(namespaces.plain);
    await cluster.kubectl(['label', 'namespace', namespaces.plain, 'weft.dev/mesh-']);
    await until(({ reason }) => reason === 'it is not to be meshed any more');
    await settle(namespaces.plain);
  });
});

function podOf(
  { name: podName, probe, kind = 'readinessProbe', grpc: isGrpc = false }: Case,
  namespace: string,
): object {
  const serve = [served.declared, served.undeclared].map((port) => `httpd -v -p ${port} -h /tmp/www`);
  const script = `mkdir -p /tmp/www && touch /tmp/www/ok && ${serve[1]} && exec ${serve[0]} -f`;
  const urls = [
    '--listen-client-urls',
    `http://0.0.0.0:${served.grpc}`,
    '--advertise-client-urls',
    `http://127.0.0.1:${served.grpc}`,
  ];
  const app = isGrpc
    ? { image: grpcImage, args: ['--data-dir', '/tmp/etcd', ...urls] }
    : { image: imageNames.tools, command: ['sh', '-c', script] };
  const ports = [{ containerPort: isGrpc ? served.grpc : served.declared }];
  const schedule = { periodSeconds: 1, timeoutSeconds: 1, failureThreshold: kind === 'livenessProbe' ? 3 : 1 };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: podName, namespace },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'app', imagePullPolicy: 'Never', ports, ...app, [kind]: { ...probe, ...schedule } }],
    },
  };
}
