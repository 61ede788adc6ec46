/** What a pod of the mesh can reach of Weft's own parts, and what they do for it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, suite, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { create, toBinary } from '@bufbuild/protobuf';

import { ConnectRequestSchema } from '../../control-plane/gen/weft/v1/directory_pb.ts';
import { CertifyRequestSchema } from '../../control-plane/gen/weft/v1/identity_pb.ts';
import { requestFor } from '../../node-agent/main/identity/key-request.ts';
import { run } from '../lab/command.ts';
import { processesBelow } from './cgroups.ts';
import { Cluster } from './cluster.ts';
import { imageNames } from './images.ts';
import { apiServer } from './layout.ts';
import { ProcessMesh, metricsPorts } from './mesh.ts';
import type { Node } from './node.ts';
import { appPort } from './objects.ts';
import { teardown } from './teardown.ts';
import type { Pod } from './workloads.ts';
import { Workloads } from './workloads.ts';

const name = 'reach';
const namespace = 'shop';
const adminPort = 4191;
const controller = { name: 'controller', port: 8086, adminPort: 9990 };
const settleMs = 20_000;
/** Agent and controller keep a good answer for 20 s each. */
const revokedMs = 45_000;
const reader = 'metrics-reader';
const noAnswer = ['000', '502']; // which is what the pod's own agent says of a connection that was refused, or ended without an answer

interface Answer {
  readonly status: number;
  /** Without a message of its own: of what gRPC carries, the status and the stable code. */
  readonly grpcStatus: string;
  readonly error: string;
  readonly bytes: number;
}

suite('what a pod can reach of Weft', () => {
  let cluster: Cluster;
  let mesh: ProcessMesh;
  let shop: Workloads;
  let here: Node;
  /** On a node each, as service accounts of their own. */
  let pod: Pod;
  let other: Pod;

  before(async () => {
    await teardown(name);
    cluster = await Cluster.up({ name });
    const [first, second] = cluster.nodes;
    assert.ok(first && second);
    here = first;
    mesh = new ProcessMesh(cluster);
    await mesh.up();
    shop = new Workloads(cluster, namespace);
    const labels = { 'weft.dev/mesh': 'enabled' };
    await cluster.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace, labels } }]);
    await cluster.apply([...server('here', first), ...server('there', second), ...controllerService()]);
    await shop.kubectl('wait', '--for=condition=Ready', 'pod', '--all', '--timeout=60s');
    [pod] = (await shop.podsOf('here')) as [Pod];
    [other] = (await shop.podsOf('there')) as [Pod];
  });

  after(async () => {
    await teardown(name);
  });

  function tokenOf(node: Node): string {
    return readFileSync(node.machine.path('/run/weft/token'), 'utf8').trim();
  }

  async function readerToken(): Promise<string> {
    await cluster.apply([
      { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: reader, namespace } },
      {
        apiVersion: 'rbac.authorization.k8s.io/v1',
        kind: 'ClusterRole',
        metadata: { name: reader },
        rules: [{ nonResourceURLs: ['/metrics'], verbs: ['get'] }],
      },
    ]);
    return (await shop.kubectl('create', 'token', reader)).trim();
  }

  function bindReader(): Promise<unknown> {
    const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: reader };
    const subjects = [{ kind: 'ServiceAccount', name: reader, namespace }];
    const metadata = { name: reader };
    const apiVersion = 'rbac.authorization.k8s.io/v1';
    return cluster.apply([{ apiVersion, kind: 'ClusterRoleBinding', metadata, roleRef, subjects }]);
  }

  function identityOf(account: string): string {
    return `${account}.${namespace}.serviceaccount.identity.weft-system.cluster.local`;
  }

  /** As the pod calls. */
  async function call<Schema extends DescMessage>(
    path: string,
    schema: Schema,
    message: MessageInitShape<Schema>,
    token?: string,
  ): Promise<Answer> {
    const bytes = toBinary(schema, create(schema, message));
    const frame = Buffer.concat([Buffer.alloc(5), bytes]);
    frame.writeUInt32BE(bytes.length, 1);
    const headers = ['content-type: application/grpc', 'te: trailers'];
    if (token !== undefined) headers.push(`authorization: Bearer ${token}`);
    const files = ['-D', '/tmp/head', '-o', '/tmp/body', '--data-binary', '@-'];
    const quoted = headers.flatMap((header) => ['-H', `"${header}"`]);
    const url = `https://${controller.name}:${controller.port}`;
    const ask = ['curl', '-skS', '--http2', '--max-time', '5', ...files, ...quoted, url + path].join(' ');
    const script = `echo ${frame.toString('base64')} | base64 -d | ${ask} && cat /tmp/head && wc -c < /tmp/body`;
    const { stdout, stderr } = await shop.tryIn(pod, ['sh', '-c', script]);
    const status = /^HTTP\/2 (\d+)/m.exec(stdout)?.[1];
    assert.ok(status !== undefined, `no answer: ${stderr}${stdout}`);
    const field = (of: string): string => new RegExp(`^${of}: (.*?)\\r?$`, 'm').exec(stdout)?.[1] ?? '';
    return {
      status: Number(status),
      grpcStatus: field('grpc-status'),
      error: field('weft-error'),
      bytes: Number(/\d+\s*$/.exec(stdout)?.[0]),
    };
  }

  function certify(account: string, token: string): Promise<Answer> {
    const { csr } = requestFor(identityOf(account));
    return call('/weft.v1.Identity/Certify', CertifyRequestSchema, { token, csr });
  }

  /** By whose token it comes, where it has one. */
  async function get(url: string, { method = 'GET', token = '' } = {}): Promise<string> {
    const authorization = token === '' ? [] : ['-H', `Authorization: Bearer ${token}`];
    const answer = ['-sk', '-o', '/tmp/answer', '-w', '%{http_code}', '--max-time', '10'];
    return (await shop.tryIn(pod, ['curl', ...answer, '-X', method, ...authorization, url])).stdout.trim();
  }

  /** What get() got last. */
  function lastAnswer(): Promise<string> {
    return shop.exec(pod, ['cat', '/tmp/answer']);
  }

  async function until(what: string, holds: () => Promise<boolean>, deadlineMs = settleMs): Promise<number> {
    const started = performance.now();
    while (!(await holds())) {
      assert.ok(performance.now() - started < deadlineMs, `${what}: not after ${deadlineMs} ms`);
      await delay(200);
    }
    return Math.round(performance.now() - started);
  }

  test('the pods are in the mesh', async () => {
    await until('one reaches the other', async () => (await get(`http://${other.status.podIP}:${appPort}/`)) === '200');
    const lines = cluster.nodes.flatMap((node) => mesh.agentLines(node));
    assert.equal(lines.filter(({ msg }) => msg === 'new pod joined the mesh').length, 2);
  });

  test("no file or socket of the agent is among the pod's", async () => {
    const script = 'ls -d /run/weft /var/lib/weft /sys/fs/bpf/weft /opt/cni 2>/dev/null; grep -i weft /proc/net/unix';
    assert.equal((await shop.tryIn(pod, ['sh', '-c', script])).stdout, '');
  });

  test('of the agent nothing listens on the node but the port for metrics, and on its loopback the admin port', async () => {
    const pids = new Set(processesBelow(here.machine.cgroup).filter(isOfAgent));
    assert.ok(pids.size >= 4, 'main, the broker and two workers');
    const { stdout } = await run(here.machine.commandOutside(['ss', '-Hltnp']));
    const listening = stdout.split('\n').flatMap((line) => {
      const [, address] = /^LISTEN +\d+ +\d+ +(\S+) /.exec(line) ?? [];
      const owners = [...line.matchAll(/pid=(\d+)/g)].map(([, pid]) => Number(pid));
      return address !== undefined && owners.some((pid) => pids.has(pid)) ? [address] : [];
    });
    assert.deepEqual(listening.sort(), [`*:${metricsPorts.agent}`, `127.0.0.1:${adminPort}`]);
    const onNode = (path: string) => here.machine.run(['curl', '-s', `http://127.0.0.1:${adminPort}${path}`]);
    assert.match((await onNode('/metrics')).stdout, /^weft_pods 1$/m);
    for (const node of cluster.nodes)
      for (const path of ['/live', '/ready', '/metrics', '/'])
        assert.ok(noAnswer.includes(await get(`http://${node.address}:${adminPort}${path}`)), `${node.name} ${path}`);
  });

  const metricsUrls = () => [
    ...cluster.nodes.map(({ address }) => `https://${address}:${metricsPorts.agent}/metrics`),
    `https://${controller.name}:${metricsPorts.controller}/metrics`,
  ];

  test('metrics of agents and the controller need a token of the API server', async () => {
    for (const url of metricsUrls()) {
      for (const token of ['', 'nonsense', tokenOf(here)]) {
        assert.equal(await get(url, { token }), '401', url);
        assert.match(await lastAnswer(), /^WEFT-E230 /);
      }
      assert.ok(noAnswer.includes(await get(url.replace('https', 'http'))), 'without TLS');
      for (const path of ['/', '/live', '/ready', '/debug/pprof'])
        assert.equal(await get(url.replace('/metrics', path)), '404', path);
    }
  });

  test('the token has to be of somebody who may get /metrics, as long as that is so', async (t) => {
    const own = (await shop.exec(pod, ['cat', '/var/run/secrets/kubernetes.io/serviceaccount/token'])).trim();
    const [first, ...others] = metricsUrls();
    assert.ok(first !== undefined);
    for (const url of [first, ...others]) {
      assert.equal(await get(url, { token: own }), '403', url);
      assert.match(await lastAnswer(), /^WEFT-E231 system:serviceaccount:shop:here may not get \/metrics\. /);
    }
    const token = await readerToken();
    await bindReader();
    const reads = async (): Promise<boolean> => (await get(first, { token })) === '200';
    const granted = await until('the right counts', reads);
    for (const url of metricsUrls()) {
      await until(url, async () => (await get(url, { token })) === '200');
      assert.match(
        await lastAnswer(),
        url.includes(String(metricsPorts.agent)) ? /^weft_pods \d/m : /^weft_workloads \d/m,
      );
    }
    assert.equal(await get(first, { token: own }), '403', "somebody else's right");
    await cluster.kubectl(['delete', 'clusterrolebinding', reader]);
    const revoked = await until('the right is gone', async () => !(await reads()), revokedMs);
    assert.equal(await get(first, { token }), '403');
    t.diagnostic(`a right counts after ${granted} ms, and no longer ${revoked} ms after it is gone`);
    await bindReader();
    await until('it is back', reads);
  });

  test("who reads verifies the agent by the mesh's anchors and its name", async () => {
    const authority = readFileSync(mesh.anchorsFile).toString('base64');
    await shop.exec(pod, ['sh', '-c', `echo ${authority} | base64 -d > /tmp/ca.crt`]);
    const agent = 'weft-agent.weft-system.serviceaccount.identity.weft-system.cluster.local';
    const token = await readerToken();
    const verified = async (called: string): Promise<string> => {
      const at = ['--cacert', '/tmp/ca.crt', '--resolve', `${called}:${metricsPorts.agent}:${here.address}`];
      const ask = ['curl', '-s', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '10', ...at];
      const header = `Authorization: Bearer ${token}`;
      return (await shop.tryIn(pod, [...ask, '-H', header, `https://${called}:${metricsPorts.agent}/metrics`])).stdout;
    };
    assert.deepEqual([await verified(agent), await verified(identityOf('here'))], ['200', '000']);
  });

  test('the controller tells a pod that it lives and whether it is ready, and no more', async () => {
    const admin = `http://${controller.name}:${controller.adminPort}`;
    assert.deepEqual([await get(`${admin}/live`), await get(`${admin}/ready`)], ['200', '200']);
    for (const method of ['POST', 'PUT', 'DELETE']) assert.equal(await get(`${admin}/ready`, { method }), '405');
    assert.equal(await get(`${admin}/metrics`), '403');
    assert.equal(await lastAnswer(), '');
    for (const path of ['/', '/shutdown', '/config_dump', '/debug/pprof'])
      assert.equal(await get(admin + path), '404', path);
  });

  test("the mesh's own listeners in a pod's network answer nobody who dials them", async () => {
    const { stdout } = await shop.tryIn(pod, ['sh', '-c', 'cat /proc/net/tcp /proc/net/tcp6']);
    const ports = new Set(
      [...stdout.matchAll(/^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:0000 0A /gm)].map(([, port]) =>
        parseInt(port ?? '', 16),
      ),
    );
    assert.ok(ports.delete(appPort));
    assert.ok(ports.size > 0, 'there is a listener');
    for (const port of ports)
      for (const address of [pod.status.podIP, other.status.podIP, '127.0.0.1'])
        assert.ok(noAnswer.includes(await get(`http://${address}:${port}/`)), `${address}:${port}`);
  });

  test("the controller's gRPC does nothing without an agent's token", async () => {
    const own = await shop.exec(pod, ['cat', '/var/run/secrets/kubernetes.io/serviceaccount/token']);
    const hello = { message: { case: 'hello', value: { node: here.name } } } as const;
    for (const token of [undefined, 'nonsense', own.trim()]) {
      const connected = await call('/weft.v1.Directory/Connect', ConnectRequestSchema, hello, token);
      assert.ok(connected.grpcStatus === '16' || connected.grpcStatus === '7', JSON.stringify(connected));
      assert.match(connected.error, /^WEFT-E(301|20[6-9])$/);
      assert.equal(connected.bytes, 0);
      const signed = await certify('here', token ?? '');
      assert.notEqual(signed.grpcStatus, '0');
      assert.match(signed.error, /^WEFT-E(301|20[6-9])$/);
      assert.equal(signed.bytes, 0);
    }
  });

  test("with the token of an agent: pods of its node, not of another's, and no other node", async () => {
    const token = tokenOf(here);
    const signed = await certify('here', token);
    assert.deepEqual([signed.grpcStatus, signed.error], ['0', '']);
    assert.ok(signed.bytes > 300);
    const refused = await certify('there', token);
    assert.deepEqual(refused, { status: 200, grpcStatus: '7', error: 'WEFT-E205', bytes: 0 });
    const hello = { message: { case: 'hello', value: { node: other.spec.nodeName } } } as const;
    const connected = await call('/weft.v1.Directory/Connect', ConnectRequestSchema, hello, token);
    assert.deepEqual(connected, { status: 200, grpcStatus: '7', error: 'WEFT-E302', bytes: 0 });
  });
});

function isOfAgent(pid: number): boolean {
  try {
    const cgroup = /^0::(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '';
    return (
      cgroup.endsWith('/weft-agent') || readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('node-agent/main/main.ts')
    );
  } catch {
    return false; // it has just ended
  }
}

/** As an installation has one; here it is no pod. */
function controllerService(): object[] {
  const { name: serviceName, port: grpc, adminPort: admin } = controller;
  const ports = Object.entries({ grpc, admin, metrics: metricsPorts.controller }).map(([portName, port]) => {
    return { name: portName, port, protocol: 'TCP' };
  });
  const metadata = { name: serviceName, namespace, labels: { 'kubernetes.io/service-name': serviceName } };
  const endpoints = [{ addresses: [apiServer.address], conditions: { ready: true } }];
  return [
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { ports } },
    { apiVersion: 'discovery.k8s.io/v1', kind: 'EndpointSlice', metadata, addressType: 'IPv4', ports, endpoints },
  ];
}

function server(podName: string, node: Node): object[] {
  const serve = `mkdir /tmp/www && hostname > /tmp/www/index.html && exec httpd -f -p ${appPort} -h /tmp/www`;
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: podName, namespace } },
    {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: podName, namespace, labels: { app: podName } },
      spec: {
        nodeName: node.name,
        serviceAccountName: podName,
        terminationGracePeriodSeconds: 0,
        containers: [{ name: 'app', image: imageNames.tools, imagePullPolicy: 'Never', command: ['sh', '-c', serve] }],
      },
    },
  ];
}
