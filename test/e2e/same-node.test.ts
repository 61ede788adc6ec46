import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { must } from '../lab/command.ts';
import { Lab } from '../lab/lab.ts';
import type { CapturedPackets } from '../lab/packet-capture.ts';
import { PacketCapture } from '../lab/packet-capture.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, dial, echo, hold, meshPlugin, waitUntil, whoami, whoamiPorts } from './helpers.ts';

/** Within which a policy of the network must reach what is open, and what the check of that may take itself. */
const policyDeadlineMs = 30_000;
const slackMs = 5000;

const tlsApplicationData = Buffer.of(0x17, 0x03, 0x03);

describe('two meshed pods of a node', () => {
  let lab: Lab;
  let agent: LabAgent;
  let client: LabPod;
  let other: LabPod;
  let server: LabPod;

  before(async () => {
    lab = await Lab.up({
      nodes: ['a'],
      meshPlugin,
      namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' }, annotations: whoamiPorts }],
    });
    agent = await LabAgent.start(lab.node('a'), { flags: ['--log-connections'] });
    const add = (name: string, annotations = {}): Promise<LabPod> =>
      lab.node('a').addPod({ name, namespace: 'shop', serviceAccount: name, annotations });
    client = await add('client');
    other = await add('other');
    server = await add('server', {
      'config.linkerd.io/skip-inbound-ports': '7100',
      'config.linkerd.io/opaque-ports': '7100,8080-8099',
    });
    for (const name of ['client', 'other', 'server']) await agent.enrolled(name);
    await whoami(server, '0.0.0.0', 8080);
    await whoami(server, '::', 8081);
    await whoami(server, '0.0.0.0', 7100);
    await echo(server, 9000);
    await echo(client, 9000);
  });

  afterEach(() => {
    withoutPolicies();
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  /** The device on the node that leads to the pod. */
  function hostDevice(pod: LabPod): string {
    const [, index = ''] = /eth0@if(\d+)/.exec(must('ip', '-n', pod.netns, '-o', 'link', 'show', 'eth0')) ?? [];
    const devices = must('ip', '-n', pod.node.netns, '-o', 'link').split('\n');
    const [, name = ''] = /^\d+: ([^@:]+)/.exec(devices.find((line) => line.startsWith(`${index}: `)) ?? '') ?? [];
    assert.notEqual(name, '');
    return name;
  }

  function nft(command: string): void {
    must('nsenter', `--net=/run/netns/${lab.node('a').netns}`, 'nft', command);
  }

  function withoutPolicies(): void {
    nft('add table bridge enforcer');
    nft('delete table bridge enforcer');
  }

  /** As a CNI that enforces policies where packets leave the bridge for the pod. */
  function dropPacketsTo(pod: LabPod, port: number): void {
    nft('add table bridge enforcer');
    nft('add chain bridge enforcer forward { type filter hook forward priority 0; }');
    nft(`add rule bridge enforcer forward oifname ${hostDevice(pod)} tcp dport ${port} drop`);
  }

  /** What the device on the node carries meanwhile. */
  async function packetsTo(pod: LabPod, run: () => Promise<unknown>): Promise<CapturedPackets> {
    const capture = await PacketCapture.onDevice(lab.node('a'), hostDevice(pod));
    await run();
    return capture.stop();
  }

  async function say(words: string, from: LabPod, to: LabPod): Promise<void> {
    const script = `import socket; s = socket.create_connection(("${to.ipv4}", 9000), 5); s.sendall(b"${words}"); print(s.recv(1000))`;
    const { stdout, stderr } = await from.run(['/usr/bin/python3', '-c', script]);
    assert.equal(stdout.trim(), `b'${words}'`, stderr);
  }

  function revoked(): number {
    return agent.lines.filter((line) => line.msg === 'connection' && line['reason'] === 'revoked').length;
  }

  test('the app sees the true address and port of its client', async () => {
    for (const [address, own, port] of [
      [server.ipv4, client.ipv4, 8080],
      [server.ipv6, client.ipv6, 8081],
    ] as const) {
      for (let round = 0; round < 8; round++) {
        const dialed = await dial(client, 'plain', address, port);
        assert.equal(dialed.local?.[0], own, JSON.stringify(dialed));
        assert.deepEqual(dialed.peer, [address, port]);
        assert.deepEqual(dialed.server, { accept: dialed.local, getpeername: dialed.local });
      }
    }
  });

  test("an app that calls from an address that is not its pod's does not reach another pod as that client", async () => {
    must('ip', '-n', client.netns, 'address', 'add', `${other.ipv4}/32`, 'dev', 'lo');
    try {
      for (const [claimed, address, port] of [
        ['127.0.0.1', server.ipv4, 8080],
        ['::1', server.ipv6, 8081],
        [other.ipv4, server.ipv4, 8080],
      ] as const) {
        const script = `import socket
s = socket.socket(socket.AF_INET6 if ":" in "${claimed}" else socket.AF_INET); s.settimeout(2); s.bind(("${claimed}", 0))
try: s.connect(("${address}", ${port})); print(s.recv(1000))
except OSError as error: print("refused", error)`;
        const { stdout } = await client.run(['/usr/bin/python3', '-c', script]);
        assert.ok(/^refused|^b''$/.test(stdout.trim()), `${claimed}: ${stdout}`);
      }
    } finally {
      must('ip', '-n', client.netns, 'address', 'del', `${other.ipv4}/32`, 'dev', 'lo');
    }
  });

  test('bytes go straight to the app: the network carries none of them', async () => {
    const packets = await packetsTo(server, async () => {
      await say('a word between neighbours', client, server);
      assert.deepEqual((await churn(client, server.ipv4, 9000, 2000, 16, 0)).errors, {});
    });
    assert.ok(!packets.contains('a word between neighbours'));
    assert.ok(packets.size < 200_000, `${packets.size} bytes are more than probes`);
  });

  test('a port that the server skips is dialled through the network', async () => {
    const dialed = await dial(client, 'plain', server.ipv4, 7100);
    assert.equal(dialed.server?.accept[0], client.ipv4, JSON.stringify(dialed));
    dropPacketsTo(server, 7100);
    assert.ok((await dial(client, 'plain', server.ipv4, 7100)).error !== undefined);
    withoutPolicies();
  });

  test('a pod reaches itself', async () => {
    await say('to myself', client, client);
  });

  test('what the network drops is not fused, open connections end in time, and all works again without the policy', async () => {
    const open = await hold(client, server.ipv4, 9000, 20);
    assert.equal(revoked(), 0);
    const began = performance.now();
    dropPacketsTo(server, 9000);

    const refused = await churn(other, server.ipv4, 9000, 1, 1, 0);
    assert.equal(refused.failed, 1, 'nobody has probed from there before');
    await waitUntil(() => revoked() >= 20, policyDeadlineMs + slackMs, 'open connections end');
    assert.ok(performance.now() - began < policyDeadlineMs + slackMs);
    assert.equal((await open.finish()).failed, 20);
    assert.equal((await churn(client, server.ipv4, 9000, 32, 8, 0)).failed, 32, 'each worker knows');
    assert.ok((await dial(client, 'plain', server.ipv4, 8080)).server, 'another port has its own policy');

    withoutPolicies();
    await waitUntil(
      async () => (await churn(client, server.ipv4, 9000, 32, 1, 0)).failed === 0, // of each worker
      5000,
      'connections after the policy',
    );
    assert.deepEqual((await churn(client, server.ipv4, 9000, 500, 8, 0)).errors, {});
    assert.deepEqual((await churn(other, server.ipv4, 9000, 500, 8, 0)).errors, {});
  });

  test('--same-node mtls: everything crosses the network, in TLS; what an earlier agent fused goes on', async () => {
    const open = await hold(client, server.ipv4, 9000, 20);
    const successor = await LabAgent.start(lab.node('a'), { flags: ['--log-connections', '--same-node', 'mtls'] });
    await agent.exited();
    agent = successor;
    const packets = await packetsTo(server, async () => {
      await say('a word between strangers', client, server);
    });
    assert.ok(!packets.contains('a word between strangers'));
    assert.ok(packets.contains(tlsApplicationData));
    const dialed = await dial(client, 'plain', server.ipv4, 8080);
    assert.deepEqual(dialed.server, { accept: dialed.local, getpeername: dialed.local });
    assert.equal((await dial(client, 'plain', server.ipv4, 7100)).server?.accept[0], client.ipv4);
    await say('to myself', client, client);

    const probedAgain = policyDeadlineMs;
    await new Promise((resolve) => setTimeout(resolve, probedAgain));
    assert.deepEqual((await open.finish()).errors, {});
  });
});
