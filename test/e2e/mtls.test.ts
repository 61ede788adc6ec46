import assert from 'node:assert/strict';
import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';

import type { Issuer } from '../../control-plane/identity/issuer.ts';
import { readIssuer } from '../../control-plane/identity/issuer.ts';
import { signLeaf } from '../../control-plane/identity/leaf.ts';
import { createAuthority } from '../../control-plane/identity/new-authority.ts';
import { parseAddress } from '../../mesh/address.ts';
import { formatIdentityName } from '../../mesh/identity-name.ts';
import { PacketCapture } from '../lab/packet-capture.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, dial, echo, waitUntil, whoami } from './helpers.ts';
import { LabMesh } from './mesh.ts';

const tool = new URL('../tools/tls-peer.ts', import.meta.url).pathname;
const hourMs = 3_600_000;
const scope = { controlPlaneNamespace: 'weft-system', trustDomain: 'cluster.local' };

function nameOf(serviceAccount: string, namespace = 'shop'): string {
  const name = formatIdentityName({ serviceAccount, namespace, ...scope });
  assert.ok(name !== undefined);
  return name;
}

interface Peer {
  readonly protocol?: string;
  readonly peer?: string;
  readonly received?: string;
  readonly error?: string;
  readonly alert?: string;
}

interface Shown {
  readonly cert: string;
  readonly key: string;
}

describe('mutual TLS between nodes', () => {
  let mesh: LabMesh;
  let client: LabPod;
  let server: LabPod;
  let outsider: LabPod;
  let issuer: Issuer;

  before(async () => {
    mesh = await LabMesh.up();
    client = await mesh.addMeshed('a', 'client', 'client');
    server = await mesh.addMeshed('b', 'server', 'server');
    outsider = await mesh.lab.node('c').addPod({ name: 'outsider', namespace: 'plain' });
    for (const pod of [server, outsider]) {
      await echo(pod, 9000);
      await whoami(pod, '0.0.0.0', 3306);
    }
    const file = (name: string): string => readFileSync(join(mesh.controller.stateDir, 'issuer', name), 'utf8');
    issuer = issuerOf({ certificates: file('tls.crt'), key: file('tls.key'), anchors: file('ca.crt') });
    await waitUntil(
      async () => (await churn(client, server.ipv4, 9000, 1, 1, 0)).failed === 0,
      15_000,
      'the first connection',
    );
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function tlsPeer(wish: object, from = outsider): Promise<Peer> {
    const defaults = { host: server.ipv4, port: 9000, servername: nameOf('server'), ca: mesh.controller.anchors() };
    const { stdout, stderr } = await from.run([process.execPath, tool, JSON.stringify({ ...defaults, ...wish })]);
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout) as Peer;
  }

  /** The sum of the series of a family on a node, whose labels are (at least) these. */
  async function counted(node: string, family: string, labels: Readonly<Record<string, string>>): Promise<number> {
    const { stdout } = await mesh.lab.node(node).run(['curl', '-s', 'http://127.0.0.1:4191/metrics']);
    return stdout
      .split('\n')
      .filter((line) => line.startsWith(`${family}{`))
      .filter((line) => Object.entries(labels).every(([name, value]) => line.includes(`${name}="${value}"`)))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  }

  async function increase(
    node: string,
    family: string,
    labels: Readonly<Record<string, string>>,
    action: () => Promise<void>,
  ): Promise<number> {
    const before = await counted(node, family, labels);
    await action();
    return (await counted(node, family, labels)) - before;
  }

  test('no byte of the app crosses the link in the clear; without the mesh it does', async () => {
    const secret = `word-${crypto.randomUUID()}`;
    const say = async (host: string): Promise<string> => {
      const script = `import socket,sys; s=socket.create_connection(("${host}", 9000), 5); s.sendall(b"${secret}"); print(s.recv(100).decode())`;
      return (await client.run(['/usr/bin/python3', '-c', script])).stdout.trim();
    };
    const meshed = await PacketCapture.onDevice(mesh.lab.node('a'));
    assert.equal(await say(server.ipv4), secret);
    assert.equal((await churn(client, server.ipv4, 9000, 200, 8, 0)).failed, 0);
    assert.equal((await meshed.stop()).contains(secret), false);

    const plain = await PacketCapture.onDevice(mesh.lab.node('a'));
    assert.equal(await say(outsider.ipv4), secret);
    assert.equal((await plain.stop()).contains(secret), true, 'else the capture proves nothing');
  });

  test('both sides know who is at the other end, and the app sees the client as it is', async () => {
    const seen = await dial(client, 'plain', server.ipv4, 3306);
    assert.deepEqual(seen.server?.accept, seen.local);
    const sides = [
      ['a', 'outbound', nameOf('server')],
      ['b', 'inbound', nameOf('client')],
    ] as const;
    for (const [node, direction, peer] of sides) {
      const line = await mesh
        .agent(node)
        .waitForLine(
          (one) => one.msg === 'connection' && one['client'] === `${seen.local?.[0]}:${seen.local?.[1]}`,
          5000,
        );
      assert.deepEqual([line['direction'], line['peer']], [direction, peer]);
      const labels = { direction, tls: 'true', [direction === 'inbound' ? 'client_id' : 'server_id']: peer };
      assert.ok((await counted(node, 'tcp_open_total', labels)) > 200);
    }
  });

  test('a peer that is no agent is served if it proves an identity of the mesh', async () => {
    const peer = await tlsPeer({ ...leafOf(issuer, 'guest'), protocols: ['http/1.1'], send: '70696e67' });
    assert.deepEqual(peer, {
      protocol: 'http/1.1',
      peer: `DNS:${nameOf('server')}, URI:spiffe://cluster.local/ns/shop/sa/server`,
      received: '70696e67',
    });
    assert.equal(await counted('b', 'tcp_open_total', { direction: 'inbound', client_id: nameOf('guest') }), 1);
  });

  const strangers: readonly (readonly [what: string, reason: string, alert: string, shown: () => Partial<Shown>])[] = [
    ['none', 'no-certificate', '116', () => ({})],
    [
      'one of another trust domain',
      'unknown-authority',
      '48',
      () => leafOf(issuerOf(createAuthority({ now: Date.now() })), 'client'),
    ],
    ['one that has expired', 'expired', '45', () => leafOf(issuer, 'client', Date.now() - hourMs)],
  ];
  for (const [what, reason, alert, shown] of strangers) {
    test(`a peer whose certificate is ${what} gets alert ${alert}, is counted as ${reason}, and no byte of it reaches the app`, async () => {
      const labels = { direction: 'inbound', pod: 'server', reason };
      const more = await increase('b', 'weft_tls_failures_total', labels, async () => {
        const peer = await tlsPeer({ ...shown(), protocols: ['weft/1'], send: '70696e67' });
        assert.deepEqual([peer.alert, peer.received], [alert, undefined], JSON.stringify(peer));
      });
      assert.equal(more, 1);
    });
  }

  test('a ClientHello for another name of the mesh gets unrecognized_name', async () => {
    const labels = { direction: 'inbound', pod: 'server', reason: 'wrong-name' };
    const more = await increase('b', 'weft_connections_refused_total', labels, async () => {
      const peer = await tlsPeer({ ...leafOf(issuer, 'guest'), servername: nameOf('other'), protocols: ['weft/1'] });
      assert.equal(peer.alert, '112', JSON.stringify(peer));
    });
    assert.equal(more, 1);
  });

  test("the app's own TLS passes through", async () => {
    const tls = mesh.lab.node('b').folder;
    const certificate = leafOf(issuer, 'any');
    await server.run(['sh', '-c', `printf '%s' "$CERT" > ${tls}/app.crt; printf '%s' "$KEY" > ${tls}/app.key`], {
      env: { ...process.env, CERT: certificate.cert, KEY: certificate.key },
    });
    server
      .spawn(['openssl', 's_server', '-accept', '8443', '-cert', `${tls}/app.crt`, '-key', `${tls}/app.key`, '-www'])
      .stdout?.resume();
    const url = 'https://app.example:8443/';
    const command = ['curl', '-sk', '-m', '5', '-o', '/dev/null', '-w', '%{http_code}', '--connect-to'];
    await waitUntil(
      async () => (await outsider.run([...command, `::${server.ipv4}:8443`, url])).stdout === '200',
      10_000,
      'the app answers in its own TLS',
    );
    assert.ok((await counted('b', 'tcp_open_total', { direction: 'inbound', tls: 'opaque' })) >= 1);
  });

  const lies: readonly (readonly [what: string, reason: string, client: () => string, destination: () => string])[] = [
    ['another pod as the client', 'client-address', () => client.ipv4, () => server.ipv4],
    ['loopback as the client', 'client-address', () => '127.0.0.1', () => server.ipv4],
    ['the server itself as the client', 'client-address', () => server.ipv4, () => server.ipv4],
    ['another pod as the destination', 'destination', () => outsider.ipv4, () => client.ipv4],
    ['loopback as the destination', 'destination', () => outsider.ipv4, () => '127.0.0.1'],
  ];
  for (const [what, reason, claimed, destination] of lies) {
    test(`OPEN with a false address is refused and counted: ${what}`, async () => {
      const labels = { direction: 'inbound', pod: 'server', reason };
      const more = await increase('b', 'weft_connections_refused_total', labels, async () => {
        const send = hello + open(claimed(), destination(), 9000) + frame(dataType, 1, '70696e67');
        const peer = await tlsPeer({ ...leafOf(issuer, 'guest'), protocols: ['weft/1'], send });
        assert.equal(peer.protocol, 'weft/1', JSON.stringify(peer));
        assert.ok(!(peer.received ?? '').includes('70696e67'), 'the app has not answered');
        assert.ok((peer.received ?? '').includes(frame(resetType, 1, '00000001')), JSON.stringify(peer));
      });
      assert.equal(more, 1);
    });
  }

  test('OPEN with the true address is served', async () => {
    const send = hello + open(outsider.ipv4, server.ipv4, 9000) + frame(dataType, 1, '70696e67');
    const peer = await tlsPeer({ ...leafOf(issuer, 'guest'), protocols: ['weft/1'], send });
    assert.ok((peer.received ?? '').includes(frame(dataType, 1, '70696e67')), JSON.stringify(peer));
  });

  test('plaintext from a pod that is known as meshed is a downgrade: refused and counted', async () => {
    const skipper = await mesh.lab.node('a').addPod({
      name: 'skipper',
      namespace: 'shop',
      annotations: { 'config.linkerd.io/skip-outbound-ports': '9000' },
    });
    await mesh.agent('a').enrolled('skipper');
    // For some seconds after a pod has joined, its peers' agents may not have heard of it.
    const isRefused = async (): Promise<boolean> => (await churn(skipper, server.ipv4, 9000, 1, 1, 0)).failed === 1;
    await waitUntil(isRefused, 20_000, 'plaintext is refused');
    const labels = { direction: 'inbound', pod: 'server', reason: 'downgrade' };
    const more = await increase('b', 'weft_connections_refused_total', labels, async () => {
      const { errors, succeeded } = await churn(skipper, server.ipv4, 9000, 3, 1, 0);
      assert.deepEqual([succeeded, errors], [0, { ECONNRESET: 3 }]);
    });
    assert.equal(more, 3);
  });

  test('the leaf of a pod verifies with openssl, lives a day and is of the identity', async () => {
    const { stdout } = await outsider.run([
      'sh',
      '-c',
      `openssl s_client -connect ${server.ipv4}:9000 -servername ${nameOf('server')} -alpn weft/1 -showcerts </dev/null 2>/dev/null | openssl x509`,
    ]);
    const leaf = new X509Certificate(stdout);
    assert.equal(leaf.checkIssued(new X509Certificate(issuer.chain[0] ?? issuer.anchors[0] ?? '')), true);
    const lifeMs = leaf.validToDate.getTime() - leaf.validFromDate.getTime();
    assert.ok(Math.abs(lifeMs - 24 * hourMs) < 120_000, String(lifeMs));
  });
});

function issuerOf(texts: Parameters<typeof readIssuer>[0]): Issuer {
  const issuer = readIssuer(texts, Date.now());
  if (issuer instanceof Error) throw issuer;
  return issuer;
}

/** A leaf that the issuer would give, an hour long. */
function leafOf(issuer: Issuer, serviceAccount: string, issuedAt = Date.now()): Shown {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const identity = nameOf(serviceAccount);
  const request = {
    identity,
    parts: { serviceAccount, namespace: 'shop', ...scope },
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  };
  const leaf = signLeaf(request, { ...issuer, notBefore: new Date(0) }, { lifeMs: hourMs / 2, now: issuedAt });
  if (leaf instanceof Error) throw leaf;
  const chain = [leaf.certificate, ...issuer.chain].map((der) => new X509Certificate(der).toString());
  return { cert: chain.join(''), key: privateKey.export({ type: 'pkcs8', format: 'pem' }) };
}

// weft/1, as docs/wire.md lays it out.
const [helloType, openType, dataType, resetType] = [0, 1, 2, 5];
const undetermined = '00';
const hello = frame(helloType, 0, '0001000000000400');

function frame(type: number, stream: number, payload: string): string {
  const header = Buffer.alloc(8);
  header.writeUInt32BE(((payload.length / 2) << 8) | type);
  header.writeUInt32BE(stream, 4);
  return header.toString('hex') + payload;
}

function open(client: string, destination: string, port: number): string {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(40_000);
  ports.writeUInt16BE(port, 2);
  return frame(openType, 1, hexOf(client) + hexOf(destination) + ports.toString('hex') + undetermined);
}

function hexOf(address: string): string {
  return Buffer.from(parseAddress(address)).toString('hex');
}
