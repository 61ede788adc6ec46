import assert from 'node:assert/strict';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { Cluster } from './cluster.ts';
import { ProcessMesh } from './mesh.ts';
import { app, appPort } from './objects.ts';
import { teardown } from './teardown.ts';
import type { Pod } from './workloads.ts';
import { Workloads, curl } from './workloads.ts';

const name = 'services';
const namespace = 'shop';
const hostPort = 8099;
const nodePorts = { everywhere: 30080, local: 30081 };
const settleMs = 20_000;

interface Case {
  readonly title: string;
  /** Resolves to what is to be the same with and without the mesh. */
  readonly observe: (from: Pod) => Promise<string>;
  readonly expected: (from: Pod) => string;
}

suite('Services', () => {
  let cluster: Cluster;
  let shop: Workloads;
  let all: string;
  let web: readonly Pod[];
  let one: Pod;
  let clients: Pod[];

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name });
    shop = new Workloads(cluster, namespace);
    const selector = { app: 'web' };
    const ports = [{ name: 'http', port: 80, targetPort: 'http' }];
    const service = (serviceName: string, spec: object) => ({
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: serviceName, namespace },
      spec: { selector, ports, ...spec },
    });
    const nodePort = (port: number) => [{ name: 'http', port: 80, targetPort: 'http', nodePort: port }];
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } }]);
    await cluster.apply([
      ...app({ name: 'client', namespace }),
      ...app({ name: 'web', namespace, replicas: 4 }),
      ...app({ name: 'one', namespace, replicas: 1, hostPort }),
      service('headless', { clusterIP: 'None', ports: [{ name: 'http', port: appPort }] }),
      service('sticky', { sessionAffinity: 'ClientIP' }),
      service('sticky-bytes', { sessionAffinity: 'ClientIP', ports: [{ ...ports[0], appProtocol: 'tcp' }] }),
      service('near', { internalTrafficPolicy: 'Local' }),
      service('nobody', { selector: { app: 'nobody' } }),
      service('everywhere', { type: 'NodePort', ports: nodePort(nodePorts.everywhere) }),
      service('local', {
        type: 'NodePort',
        selector: { app: 'one' },
        externalTrafficPolicy: 'Local',
        ports: nodePort(nodePorts.local),
      }),
    ]);
    await shop.rollout('client', 'web', 'one');
    web = await shop.podsOf('web');
    all = names(web);
    [one] = (await shop.podsOf('one')) as [Pod];
    clients = await shop.onePodPerNode('client');
  });

  after(async () => {
    await teardown(name);
  });

  /** Who answers, asked often enough that everybody had a chance. */
  async function answers(from: Pod, url: string, times = 40): Promise<string> {
    const requests = Array.from({ length: times }, () => `${curl.join(' ')} ${url} || echo failed`);
    const text = await shop.exec(from, ['sh', '-c', requests.join('\n')]);
    return [...new Set(text.split('\n').filter(Boolean))].sort().join(' ');
  }

  async function fromOutside(address: string, port: number): Promise<string> {
    const { code, stdout } = await cluster.run(['curl', '-sS', '--max-time', '2', `http://${address}:${port}/`]);
    return code === 0 ? stdout.trim() : 'failed';
  }

  function addressOf(pod: Pod): string {
    return cluster.node(pod.spec.nodeName).address;
  }

  function elsewhere(pod: Pod): string {
    const other = cluster.nodes.find((node) => node.name !== pod.spec.nodeName);
    assert.ok(other);
    return other.address;
  }

  const cases: readonly Case[] = [
    { title: 'ClusterIP', observe: (from) => answers(from, 'http://web'), expected: () => all },
    {
      title: 'headless: DNS tells of all pods, and one of them answers',
      observe: async (from) => {
        const found = await shop.exec(from, ['nslookup', `headless.${namespace}.svc.cluster.local`]);
        const addresses = new Set(found.match(/10\.244\.\d+\.\d+/g));
        const answer = await answers(from, `http://headless:${appPort}`, 5);
        return `${addresses.size} ${answer.split(' ').every((pod) => all.includes(pod))}`;
      },
      expected: () => '4 true',
    },
    {
      title: 'session affinity, of requests and of bytes',
      observe: async (from) => {
        const requests = await answers(from, 'http://sticky');
        const bytes = await answers(from, 'http://sticky-bytes');
        return [requests, bytes].map((found) => `${found.split(' ').length} ${found !== 'failed'}`).join(' and ');
      },
      expected: () => '1 true and 1 true',
    },
    {
      title: 'internalTrafficPolicy Local: only pods of the own node',
      observe: (from) => answers(from, 'http://near'),
      expected: (from) => names(web.filter(({ spec }) => spec.nodeName === from.spec.nodeName)),
    },
    {
      title: 'a Service without endpoints refuses',
      observe: async (from) => {
        const started = performance.now();
        const answer = await answers(from, 'http://nobody', 1);
        return `${answer} ${performance.now() - started < 4000 ? 'soon' : 'late'}`;
      },
      expected: () => 'failed soon',
    },
    {
      title: "NodePort, from a pod, at both nodes' addresses",
      observe: async (from) => {
        const both = [];
        for (const node of cluster.nodes)
          both.push(await answers(from, `http://${node.address}:${nodePorts.everywhere}`));
        return both.join(' and ');
      },
      expected: () => `${all} and ${all}`,
    },
    {
      title: 'NodePort with externalTrafficPolicy Local, from a pod, where a pod is',
      observe: (from) => answers(from, `http://${addressOf(one)}:${nodePorts.local}`, 5),
      expected: () => one.metadata.name,
    },
    {
      title: 'hostPort, from a pod',
      observe: (from) => answers(from, `http://${addressOf(one)}:${hostPort}`, 3),
      expected: () => one.metadata.name,
    },
    {
      title: 'NodePort and hostPort, from outside',
      observe: async () => {
        const atNodePort = await fromOutside(addressOf(one), nodePorts.everywhere);
        return `${all.includes(atNodePort)} ${await fromOutside(addressOf(one), hostPort)}`;
      },
      expected: () => `true ${one.metadata.name}`,
    },
    {
      title: 'externalTrafficPolicy Local: only where a pod is, which sees the client',
      observe: async () => {
        const before = (await shop.kubectl('logs', one.metadata.name)).length;
        const here = await fromOutside(addressOf(one), nodePorts.local);
        const there = await fromOutside(elsewhere(one), nodePorts.local);
        const log = (await shop.kubectl('logs', one.metadata.name)).slice(before);
        return `${here} ${there} ${log.includes('[::ffff:172.30.0.1]')}`;
      },
      expected: () => `${one.metadata.name} failed true`,
    },
    {
      title: 'a pod reaches itself by its Service',
      observe: () => answers(one, 'http://one', 5),
      expected: () => one.metadata.name,
    },
    {
      title: 'a pod reaches another by its address, and is seen by its own',
      observe: async (from) => {
        const before = (await shop.kubectl('logs', one.metadata.name)).length;
        const answer = await answers(from, `http://${one.status.podIP}:${appPort}`, 1);
        const log = (await shop.kubectl('logs', one.metadata.name)).slice(before);
        return `${answer} ${log.includes(`[::ffff:${from.status.podIP}]`)}`;
      },
      expected: () => `${one.metadata.name} true`,
    },
    {
      title: 'the API server, by a token',
      observe: async (from) => {
        const folder = '/var/run/secrets/kubernetes.io/serviceaccount';
        const token = `-H "Authorization: Bearer $(cat ${folder}/token)"`;
        const ask = `curl -sS --max-time 5 --cacert ${folder}/ca.crt ${token} -o /dev/null -w '%{http_code}'`;
        return shop.exec(from, ['sh', '-c', `${ask} https://kubernetes.default.svc/api/v1/nodes`]);
      },
      expected: () => '403',
    },
  ];

  /** What was only just made takes its time to be known on all nodes. */
  async function check({ observe, expected }: Case): Promise<void> {
    for (const client of clients) {
      const deadline = performance.now() + settleMs;
      for (let found = await observe(client); found !== expected(client); found = await observe(client)) {
        if (performance.now() > deadline) assert.equal(found, expected(client), `from ${client.spec.nodeName}`);
        await delay(200);
      }
    }
  }

  for (const one of cases) test(`without the mesh: ${one.title}`, () => check(one));

  test('the mesh takes all pods in', async () => {
    const mesh = new ProcessMesh(cluster);
    await mesh.up();
    await cluster.kubectl(['label', 'namespace', namespace, 'weft.dev/mesh=enabled']);
    const count = clients.length + 5;
    const joined = () =>
      cluster.nodes.flatMap((node) => mesh.agentLines(node)).filter(({ msg }) => msg === 'running pod joined the mesh')
        .length;
    const deadline = performance.now() + settleMs;
    while (joined() < count) {
      assert.ok(performance.now() < deadline, `${joined()} of ${count} pods joined`);
      await delay(50);
    }
  });

  for (const one of cases) test(`with the mesh: ${one.title}`, () => check(one));
});

function names(pods: readonly Pod[]): string {
  return pods
    .map(({ metadata }) => metadata.name)
    .sort()
    .join(' ');
}
