import assert from 'node:assert/strict';
import { mkdirSync, rmdirSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { Lab } from '../lab/lab.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, dial, echo, meshPlugin, waitUntil, whoami, whoamiPorts } from './helpers.ts';

describe('capture', () => {
  let lab: Lab;
  let agent: LabAgent;
  let client: LabPod;
  let server: LabPod;
  let outsider: LabPod;

  before(async () => {
    lab = await Lab.up({
      nodes: ['a', 'b'],
      meshPlugin,
      unmeshedNodes: ['b'],
      namespaces: [
        { name: 'shop', labels: { 'weft.dev/mesh': 'enabled' }, annotations: whoamiPorts },
        { name: 'legacy', annotations: { 'linkerd.io/inject': 'enabled' } },
        { name: 'plain', annotations: whoamiPorts },
        { name: 'kube-system', labels: { 'weft.dev/mesh': 'enabled' } },
        { name: 'weft-system', labels: { 'weft.dev/mesh': 'enabled' } },
      ],
    });
    agent = await LabAgent.start(lab.node('a'), { flags: ['--log-connections'] });
    const annotations = {
      'config.linkerd.io/skip-outbound-ports': '7001-7003',
      'config.linkerd.io/skip-inbound-ports': '7100',
      'config.linkerd.io/skip-subnets': '10.244.1.99/32',
    };
    client = await lab.node('a').addPod({ name: 'client', namespace: 'shop', annotations });
    server = await lab.node('a').addPod({ name: 'server', namespace: 'shop', annotations });
    outsider = await lab.node('b').addPod({ name: 'outsider', namespace: 'plain' });
    await agent.enrolled('client');
    await agent.enrolled('server');
    for (const pod of [server, outsider, client]) {
      await whoami(pod, '0.0.0.0', 8080);
      await whoami(pod, '::', 8081);
    }
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  /** The agent tells of a finished connection to there; what it told until then is forgotten. */
  async function assertCaptured(destination: string): Promise<void> {
    await waitUntil(() => wasTold(destination), 5000, `a connection to ${destination} is told`);
    agent.lines.length = 0;
  }

  async function assertNotCaptured(destination: string): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 150)); // reports come in batches of 50 ms
    assert.ok(!wasTold(destination), agent.transcript());
    agent.lines.length = 0;
  }

  function wasTold(destination: string): boolean {
    return agent.lines.some((line) => line.msg === 'connection' && line['destination'] === destination);
  }

  const kinds = ['plain', 'nonblocking', 'bind', 'fastopen', 'mptcp'];
  for (const kind of kinds) {
    for (const family of ['IPv4', 'IPv6']) {
      test(`outbound: ${kind}, ${family}; the client sees its own address and its real peer`, async () => {
        const [address, port] = family === 'IPv4' ? ([outsider.ipv4, 8080] as const) : ([outsider.ipv6, 8081] as const);
        const own = family === 'IPv4' ? client.ipv4 : client.ipv6;
        const dialed = await dial(client, kind, address, port);
        assert.equal(dialed.local?.[0], own, JSON.stringify(dialed));
        assert.deepEqual(dialed.peer, [address, port]);
        assert.equal(dialed.server?.accept[0], own);
        await assertCaptured(family === 'IPv4' ? `${address}:${port}` : `[${address}]:${port}`);
      });
    }
  }

  test('outbound: IPv4 from an IPv6 socket (v4-mapped)', async () => {
    const dialed = await dial(client, 'plain', `::ffff:${outsider.ipv4}`, 8080);
    assert.deepEqual(dialed.peer, [`::ffff:${outsider.ipv4}`, 8080]);
    assert.equal(dialed.server?.accept[0], client.ipv4);
    await assertCaptured(`${outsider.ipv4}:8080`);
  });

  for (const family of ['IPv4', 'IPv6', 'v4-mapped server']) {
    test(`inbound: ${family}; accept() and getpeername() show the client's true address and port`, async () => {
      const address = family === 'IPv6' ? server.ipv6 : server.ipv4;
      const port = family === 'IPv4' ? 8080 : 8081;
      const dialed = await dial(outsider, 'plain', address, port);
      const mapped = family === 'v4-mapped server' ? `::ffff:${dialed.local?.[0] ?? ''}` : dialed.local?.[0];
      assert.deepEqual(dialed.server, {
        accept: [mapped, dialed.local?.[1]],
        getpeername: [mapped, dialed.local?.[1]],
      });
      await assertCaptured(family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`);
    });
  }

  test('between two meshed pods of a node', async () => {
    const dialed = await dial(client, 'plain', server.ipv4, 8080);
    assert.equal(dialed.server?.accept[0], client.ipv4);
    await assertCaptured(`${server.ipv4}:8080`);
  });

  const commands: Record<string, (url: string) => string[]> = {
    curl: (url) => ['curl', '-s', '--http0.9', '-m', '5', url],
    busybox: (url) => ['sh', '-c', `echo | busybox nc -w 3 $(echo ${url} | sed 's|http://||;s|:| |')`],
    node: (url) => [
      process.execPath,
      '-e',
      `const {hostname,port}=new URL('${url}');require('net').connect(port,hostname).on('data',d=>{process.stdout.write(d);process.exit()})`,
    ],
  };
  for (const [name, command] of Object.entries(commands)) {
    test(`client: ${name}`, async () => {
      const { stdout } = await client.run(command(`http://${outsider.ipv4}:8080`));
      assert.match(stdout, new RegExp(client.ipv4.replaceAll('.', '\\.')));
      await assertCaptured(`${outsider.ipv4}:8080`);
    });
  }

  test('not captured: loopback and the own address', async () => {
    const loopback = await dial(client, 'plain', '127.0.0.1', 8080);
    assert.equal(loopback.server?.accept[0], '127.0.0.1');
    const own = await dial(client, 'plain', client.ipv4, 8080);
    assert.equal(own.server?.accept[0], client.ipv4);
    assert.equal((await dial(client, 'plain', '::1', 8081)).server?.accept[0], '::1');
    await assertNotCaptured('127.0.0.1:8080');
    await assertNotCaptured(`${client.ipv4}:8080`);
  });

  test('not captured: UDP', async () => {
    await whoami(outsider, '0.0.0.0', 8090, 'udp');
    const dialed = await dial(client, 'udp', outsider.ipv4, 8090);
    assert.deepEqual(dialed.server?.accept, dialed.local);
  });

  test('not captured: skipped ports, out and in', async () => {
    await whoami(outsider, '0.0.0.0', 7002);
    const out = await dial(client, 'plain', outsider.ipv4, 7002);
    assert.deepEqual(out.server?.accept, out.local);
    await whoami(server, '0.0.0.0', 7100);
    assert.ok((await dial(outsider, 'plain', server.ipv4, 7100)).server);
    await assertNotCaptured(`${server.ipv4}:7100`);
  });

  test('not captured: inbound from a skipped subnet', async () => {
    const address = '10.244.1.99';
    await outsider.run(['ip', 'addr', 'add', `${address}/32`, 'dev', 'eth0']);
    const { stdout } = await outsider.run([
      'curl',
      '-s',
      '--http0.9',
      '-m',
      '5',
      '--interface',
      address,
      `http://${server.ipv4}:8080`,
    ]);
    assert.match(stdout, /10\.244\.1\.99/);
    await assertNotCaptured(`${server.ipv4}:8080`);
  });

  test('not captured: host processes and hostNetwork pods', async () => {
    const host = await lab.node('a').addPod({ name: 'host', namespace: 'shop', hostNetwork: true });
    assert.ok((await dial(host, 'plain', outsider.ipv4, 8080)).server);
    const fromHost = await lab.node('a').run(['curl', '-s', '--http0.9', '-m', '5', `http://${outsider.ipv4}:8080`]);
    assert.match(fromHost.stdout, /accept/);
    await assertNotCaptured(`${outsider.ipv4}:8080`);
  });

  test("the kubelet's probes reach the app with their own address; another process of the host is captured", async () => {
    const probe = await lab
      .node('a')
      .runAsKubelet(['curl', '-s', '--http0.9', '-m', '5', `http://${server.ipv4}:8080`]);
    assert.match(probe.stdout, /"accept": \["10\.244\.0\.1"/);
    await assertNotCaptured(`${server.ipv4}:8080`);
    await lab.node('a').run(['curl', '-s', '--http0.9', '-m', '5', `http://${server.ipv4}:8080`]);
    await assertCaptured(`${server.ipv4}:8080`);
  });

  test('a kubelet that starts again, in a cgroup made anew, is known by its probes still', async () => {
    const node = lab.node('a');
    rmdirSync(node.kubeletCgroup);
    mkdirSync(node.kubeletCgroup);
    await waitUntil(() => agent.lines.some(({ msg }) => /kubelet has a new cgroup/.test(msg)), 5000, 'it is told');
    await node.runAsKubelet(['curl', '-s', '--http0.9', '-m', '5', `http://${server.ipv4}:8080`]);
    await assertNotCaptured(`${server.ipv4}:8080`);
  });

  for (const [why, spec] of Object.entries({
    'not opted in': { namespace: 'plain' },
    'opted out by label': { namespace: 'shop', labels: { 'weft.dev/mesh': 'disabled' } },
    "with another mesh's proxy": { namespace: 'shop', containers: [{ name: 'main' }, { name: 'istio-proxy' }] },
    'in kube-system': { namespace: 'kube-system' },
    'in our own namespace': { namespace: 'weft-system' },
  })) {
    test(`not captured: a pod ${why}`, async () => {
      const pod = await lab.node('a').addPod({ name: `p${why.replaceAll(/[^a-z]/g, '')}`.slice(0, 20), ...spec });
      const dialed = await dial(pod, 'plain', outsider.ipv4, 8080);
      assert.deepEqual(dialed.server?.accept, dialed.local);
      await assertNotCaptured(`${outsider.ipv4}:8080`);
    });
  }

  test("Linkerd's annotation opts in", async () => {
    const pod = await lab.node('a').addPod({ name: 'annotated', namespace: 'legacy' });
    await dial(pod, 'plain', outsider.ipv4, 8080);
    await assertCaptured(`${outsider.ipv4}:8080`);
  });

  test('an app bound to 127.0.0.1 is not reachable from outside', async () => {
    await whoami(server, '127.0.0.1', 8200);
    const dialed = await dial(outsider, 'plain', server.ipv4, 8200);
    assert.equal(dialed.server ?? undefined, undefined, JSON.stringify(dialed));
  });

  test("a dial at the agent's own listener goes nowhere", async () => {
    const { stdout } = await client.run(['sh', '-c', "ss -Hltn | awk '{print $4}'"]);
    const port = stdout
      .split('\n')
      .map((address) => Number(address.split(':').at(-1)))
      .find((candidate) => candidate >= 61000);
    assert.ok(port !== undefined, `no listener in ${stdout}`);
    for (const address of ['127.0.0.1', client.ipv4]) {
      const dialed = await dial(client, 'plain', address, port);
      assert.equal(dialed.server ?? undefined, undefined, JSON.stringify(dialed));
    }
    const fromOutside = await dial(outsider, 'plain', client.ipv4, port);
    assert.equal(fromOutside.server ?? undefined, undefined, JSON.stringify(fromOutside));
  });

  test('10,000 connections, none fails', async () => {
    await echo(server, 9000);
    const { failed, succeeded, errors } = await churn(outsider, server.ipv4, 9000, 10_000, 64, 0);
    assert.deepEqual({ failed, succeeded, errors }, { failed: 0, succeeded: 10_000, errors: {} });
  });
});
