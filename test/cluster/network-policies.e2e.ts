import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import { Cluster } from './cluster.ts';
import { imageNames } from './images.ts';
import { ProcessMesh } from './mesh.ts';
import { enforcePolicies } from './policy-enforcer.ts';
import { teardown } from './teardown.ts';
import { Workloads } from './workloads.ts';

const name = 'policies';
/** `server` and `bystander` run on the first node and serve on two ports; clients of each kind run on both. */
const servers = [
  { name: 'server', namespace: 'red' },
  { name: 'bystander', namespace: 'red' },
  { name: 'server', namespace: 'blue' },
] as const;
const clients = [
  { name: 'friend', namespace: 'red' },
  { name: 'stranger', namespace: 'red' },
  { name: 'friend', namespace: 'blue' },
] as const;
const ports = [8080, 8081] as const;
const requestSeconds = 2;
// Connections that were open before a policy came live on, and a mesh holds some open: so long at most.
const convergenceMs = 35_000;

interface Case {
  readonly title: string;
  readonly spec: object;
  /** What of `client>namespace/server:port` is allowed, on whatever node the client is. */
  readonly allows: (client: string, server: string, port: number) => boolean;
}

const selectsServer = { podSelector: { matchLabels: { app: 'server' } } };
const selectsFriend = { podSelector: { matchLabels: { app: 'friend' } } };
const ofBlue = { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'blue' } } };
const toServer = (server: string) => server === 'red/server';
const fromFriend = (client: string) => client === 'red/friend';

/** All of them are in the namespace red. */
const cases: readonly Case[] = [
  {
    title: 'in: port',
    spec: { ...selectsServer, ingress: [{ ports: [{ port: 8080 }] }] },
    allows: (_, server, port) => !toServer(server) || port === 8080,
  },
  {
    title: 'in: peer',
    spec: { ...selectsServer, ingress: [{ from: [selectsFriend] }] },
    allows: (client, server) => !toServer(server) || fromFriend(client),
  },
  {
    title: 'in: namespace',
    spec: { ...selectsServer, ingress: [{ from: [ofBlue] }] },
    allows: (client, server) => !toServer(server) || client === 'blue/friend',
  },
  {
    title: 'in: default deny',
    spec: { podSelector: {}, policyTypes: ['Ingress'] },
    allows: (_, server) => server.startsWith('blue/'),
  },
  {
    title: 'out: port',
    spec: { ...selectsFriend, policyTypes: ['Egress'], egress: [{ ports: [{ port: 8080 }] }] },
    allows: (client, _, port) => !fromFriend(client) || port === 8080,
  },
  {
    title: 'out: peer',
    spec: { ...selectsFriend, policyTypes: ['Egress'], egress: [{ to: [selectsServer] }] },
    allows: (client, server) => !fromFriend(client) || toServer(server),
  },
  {
    title: 'out: namespace',
    spec: { ...selectsFriend, policyTypes: ['Egress'], egress: [{ to: [ofBlue] }] },
    allows: (client, server) => !fromFriend(client) || server.startsWith('blue/'),
  },
  {
    title: 'out: default deny',
    spec: { podSelector: {}, policyTypes: ['Egress'] },
    allows: (client) => client.startsWith('blue/'),
  },
];

suite('NetworkPolicies', () => {
  let cluster: Cluster;
  let addresses: Map<string, string>;

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name });
    const [first] = cluster.nodes;
    assert.ok(first);
    await cluster.apply(
      ['red', 'blue'].map((space) => ({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: space } })),
    );
    await cluster.apply([
      ...servers.map((server) => pod(server.name, server.namespace, first.name, server.name)),
      ...clients.flatMap((client) =>
        cluster.nodes.map((node) => pod(`${client.name}-${node.name}`, client.namespace, node.name, client.name)),
      ),
    ]);
    for (const namespace of ['red', 'blue'])
      await cluster.kubectl(['wait', '-n', namespace, '--for=condition=Ready', 'pod', '--all', '--timeout=90s']);
    addresses = new Map();
    for (const server of servers) {
      const [found] = await new Workloads(cluster, server.namespace).podsOf(server.name);
      assert.ok(found);
      addresses.set(`${server.namespace}/${server.name}`, found.status.podIP);
    }
  });

  after(async () => {
    await teardown(name);
  });

  /** Who reaches what, as a sorted list of `client>server:port@node`. */
  async function verdicts(): Promise<string[]> {
    const sources = clients.flatMap((client) => cluster.nodes.map((node) => ({ ...client, node: node.name })));
    const reached = await Promise.all(
      sources.map(async (source) => {
        const requests = [...addresses].flatMap(([server, address]) =>
          ports.map(
            (port) =>
              `(curl -sf -o /dev/null -m ${requestSeconds} http://${address}:${port}/ && ` +
              `echo "${source.namespace}/${source.name}>${server}:${port}@${source.node}") &`,
          ),
        );
        const script = `${requests.join('\n')}\nwait`;
        const exec = ['exec', '-n', source.namespace, `${source.name}-${source.node}`, '--'];
        return (await cluster.kubectl([...exec, 'sh', '-c', script])).split('\n').filter(Boolean);
      }),
    );
    return reached.flat().sort();
  }

  function expected(allows: Case['allows']): string[] {
    return clients
      .flatMap((client) => {
        const source = `${client.namespace}/${client.name}`;
        return cluster.nodes.flatMap((node) =>
          [...addresses.keys()].flatMap((server) =>
            ports
              .filter((port) => allows(source, server, port))
              .map((port) => `${source}>${server}:${port}@${node.name}`),
          ),
        );
      })
      .sort();
  }

  /** @returns after how long everybody can do what the case allows, and nothing else */
  async function converge(one: Case): Promise<number> {
    const metadata = { name: 'case', namespace: 'red' };
    const policy = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec: one.spec };
    await cluster.kubectl(['delete', 'networkpolicy', '-n', 'red', '--all']);
    await cluster.apply([policy]);
    await enforcePolicies(cluster);
    const started = performance.now();
    for (;;) {
      const begun = Math.round(performance.now() - started);
      const found = await verdicts();
      if (isDeepStrictEqual(found, expected(one.allows))) return begun;
      if (begun > convergenceMs) assert.deepEqual(found, expected(one.allows));
      await delay(500);
    }
  }

  for (const one of cases) {
    test(`without the mesh: ${one.title}`, async () => {
      assert.equal(await converge(one), 0);
    });
  }

  test('the mesh takes the pods in', async () => {
    await cluster.kubectl(['delete', 'networkpolicy', '-n', 'red', '--all']);
    await enforcePolicies(cluster);
    const mesh = new ProcessMesh(cluster);
    await mesh.up();
    await cluster.kubectl(['label', 'namespace', 'red', 'blue', 'weft.dev/mesh=enabled']);
    const deadline = performance.now() + 20_000;
    const joined = () =>
      cluster.nodes.flatMap((node) => mesh.agentLines(node)).filter(({ msg }) => msg === 'running pod joined the mesh');
    while (joined().length < servers.length + clients.length * cluster.nodes.length) {
      assert.ok(performance.now() < deadline, `${joined().length} pods joined`);
      await delay(50);
    }
    assert.deepEqual(
      await verdicts(),
      expected(() => true),
    );
  });

  for (const one of cases) {
    test(`with the mesh: ${one.title}`, async (t) => {
      t.diagnostic(`in force for everybody after ${await converge(one)} ms`);
    });
  }
});

/** Serves on both ports, and asks. */
function pod(podName: string, namespace: string, nodeName: string, appName: string): object {
  const serve = ports.map((port) => `httpd -p ${port} -h /tmp`).join(' && ');
  const script = `echo ok > /tmp/index.html && ${serve} && exec sleep 100000`;
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: podName, namespace, labels: { app: appName } },
    spec: {
      nodeName,
      terminationGracePeriodSeconds: 0,
      containers: [
        {
          name: 'app',
          image: imageNames.tools,
          imagePullPolicy: 'Never',
          command: ['sh', '-c', script],
          readinessProbe: { httpGet: { path: '/', port: ports[0] }, periodSeconds: 1 },
        },
      ],
    },
  };
}
