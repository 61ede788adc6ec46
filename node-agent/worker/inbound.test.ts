import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseAddress } from '../../mesh/address.ts';
import type { Destination } from './destinations.ts';
import type { ClaimedClient, InboundConnection, InboundDecision } from './inbound.ts';
import { decideInbound, detections, refuseClaim } from './inbound.ts';
import type { WorkerPod } from './pods.ts';
import { testPod } from './test-connection.ts';

const suffix = '.shop.mesh';
const ours = 'web.shop.mesh';
const now = 60_000;

function sourceOf(meshed: boolean | undefined): Destination {
  const address = parseAddress('10.0.0.9');
  return {
    kind: 'endpoints',
    protocol: 'opaque',
    endpoints: [{ address, port: 0, meshed, identity: 2, workload: 1, localPod: 0 }],
  };
}

const sources = {
  notAsked: undefined,
  unknown: { kind: 'unknown' },
  external: { kind: 'external', protocol: 'opaque' },
  nobody: { kind: 'endpoints', protocol: 'opaque', endpoints: [] },
  unmeshed: sourceOf(false),
  undecided: sourceOf(undefined),
  meshed: sourceOf(true),
} satisfies Record<string, Destination | undefined>;

function connection(detected: keyof typeof detections, askedFor = '', localPort = 80): InboundConnection {
  return {
    id: 1,
    peerName: 0,
    detected: detections[detected],
    askedFor,
    localAddress: parseAddress('10.0.0.7'),
    localPort,
    remoteAddress: parseAddress('10.0.0.9'),
    remotePort: 40000,
  };
}

function decided(of: InboundConnection, source: Destination | undefined, pod: WorkerPod = testPod()): InboundDecision {
  return decideInbound(of, pod, source, now, suffix);
}

type Row = Readonly<Record<keyof typeof sources, InboundDecision>>;

function everySource(decision: InboundDecision): Row {
  return {
    notAsked: decision,
    unknown: decision,
    external: decision,
    nobody: decision,
    unmeshed: decision,
    undecided: decision,
    meshed: decision,
  };
}

/** Only what is meshed for sure may not come in plaintext. */
const plaintext: Row = { ...everySource('relay'), notAsked: 'wait', meshed: 'downgrade' };
const opaque = 3306; // of testPod()

const table: readonly [string, InboundConnection, Row][] = [
  ['nothing seen', connection('nothing'), everySource('detect')],
  [
    'nothing seen on an opaque port',
    connection('nothing', '', opaque),
    { ...everySource('relay'), notAsked: 'wait', meshed: 'detect' },
  ],
  ['plaintext', connection('plaintext'), plaintext],
  ['plaintext on an opaque port', connection('plaintext', '', opaque), plaintext],
  ['silence', connection('timeout'), plaintext],
  ['silence on an opaque port', connection('timeout', '', opaque), plaintext],
  ['a ClientHello that cannot be ours', connection('invalidTls'), plaintext],
  ['TLS for this pod', connection('tls', ours), everySource('terminate')],
  ['TLS for this pod on an opaque port', connection('tls', ours, opaque), everySource('terminate')],
  ['TLS for another of the mesh', connection('tls', 'db.shop.mesh'), everySource('wrong-name')],
  ['TLS for a name of nobody', connection('tls', ''), everySource('relay')],
  ["the app's own TLS", connection('tls', 'shop.example'), everySource('relay')],
  ['TLS for a name that only contains ours', connection('tls', 'web.shop.mesh.example'), everySource('relay')],
];

test('what comes in is decided by its first bytes and by who sends it', () => {
  for (const [what, of, row] of table) {
    for (const name of Object.keys(sources) as (keyof typeof sources)[])
      assert.equal(decided(of, sources[name]), row[name], `${what}, source ${name}`);
  }
});

test('TLS for somebody of the mesh waits until the pod has a name', () => {
  const nameless = testPod({ identityName: '', identity: 0 });
  assert.equal(decided(connection('tls', ours), sources.meshed, nameless), 'wait-identity');
  assert.equal(decided(connection('tls', 'shop.example'), sources.meshed, nameless), 'relay');
});

test('plaintext of meshed sources is taken until they have had time to hear of the pod', () => {
  const of = connection('plaintext');
  const cases: [number | undefined, InboundDecision][] = [
    [undefined, 'relay'],
    [now, 'relay'],
    [now - 9_999, 'relay'],
    [now - 10_000, 'downgrade'],
    [0, 'downgrade'],
  ];
  for (const [announcedAt, expected] of cases)
    assert.equal(decided(of, sources.meshed, testPod({ announcedAt })), expected, `announced at ${announcedAt}`);
});

test('nobody who is not known to be meshed is refused plaintext, and no name of the mesh is passed to an app', () => {
  const detected = fc.constantFrom(...(Object.keys(detections) as (keyof typeof detections)[]));
  const name = fc.constantFrom('', ours, 'db.shop.mesh', 'shop.example');
  const source = fc.constantFrom(...Object.values(sources));
  const port = fc.constantFrom(80, opaque);
  const announcedAt = fc.option(fc.nat(now), { nil: undefined });
  fc.assert(
    fc.property(detected, name, source, port, announcedAt, (seen, asked, from, localPort, since) => {
      const askedFor = seen === 'tls' ? asked : '';
      const decision = decided(connection(seen, askedFor, localPort), from, testPod({ announcedAt: since }));
      if (decision === 'downgrade') assert.equal(from, sources.meshed);
      if (decision === 'relay') assert.ok(!askedFor.endsWith(suffix));
      if (decision === 'terminate') assert.equal(askedFor, ours);
    }),
  );
});

function claim(local: string, remote: string, peer: string): ClaimedClient {
  return {
    localAddress: parseAddress(local),
    localPort: 80,
    remoteAddress: parseAddress(remote),
    remotePort: 40000,
    peerAddress: parseAddress(peer),
  };
}

test("a peer's word on its client is believed only where its own connection bears it out", () => {
  const pod = testPod();
  const cases: [ReturnType<typeof refuseClaim>, ClaimedClient][] = [
    [undefined, claim('10.0.0.7', '10.0.1.9', '10.0.1.9')],
    [undefined, claim('fd00::7', 'fd00::1:9', 'fd00::1:9')],
    ['destination', claim('10.0.0.8', '10.0.1.9', '10.0.1.9')],
    ['destination', claim('fd00::8', '10.0.1.9', '10.0.1.9')],
    ['destination', claim('127.0.0.1', '10.0.1.9', '10.0.1.9')],
    ['client-address', claim('10.0.0.7', '10.0.1.9', '10.0.1.10')],
    ['client-address', claim('10.0.0.7', 'fd00::9', '10.0.1.9')],
    ['loopback', claim('10.0.0.7', '127.0.0.1', '127.0.0.1')],
    ['loopback', claim('fd00::7', '::1', '::1')],
    ['own-address', claim('10.0.0.7', '10.0.0.7', '10.0.0.7')],
    ['own-address', claim('fd00::7', 'fd00::7', 'fd00::7')],
    ['own-address', claim('fd00::7', '10.0.0.7', '10.0.0.7')],
  ];
  for (const [index, [expected, of]] of cases.entries()) assert.equal(refuseClaim(of, pod), expected, `case ${index}`);
});

test('a pod of one family has no other address that a claim could name', () => {
  const pod = testPod({ ipv6: new Uint8Array(16) });
  assert.equal(refuseClaim(claim('fd00::7', 'fd00::9', 'fd00::9'), pod), 'destination');
  // How a missing address is written, and how an app on loopback would be reached.
  assert.equal(refuseClaim(claim('::', 'fd00::9', 'fd00::9'), pod), 'destination');
});

test("no claim of an address that is not the peer's is ever believed", () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(address, address, address, (local, remote, peer) => {
      const believed = refuseClaim(claim(local, remote, peer), testPod()) === undefined;
      if (believed) assert.deepEqual(parseAddress(remote), parseAddress(peer));
    }),
  );
  fc.assert(
    fc.property(address, address, (remote, peer) => {
      fc.pre(Buffer.compare(parseAddress(remote), parseAddress(peer)) !== 0);
      assert.equal(refuseClaim(claim('10.0.0.7', remote, peer), testPod()), 'client-address');
    }),
  );
});

test('an opaque port: a source that has just begun or ceased to be meshed is looked at briefly, as its agent may speak TLS', () => {
  const of = connection('nothing', '', opaque);
  const cases: [number | undefined, InboundDecision][] = [
    [now, 'detect-briefly'],
    [now - 9_999, 'detect-briefly'],
    [now - 10_000, 'relay'],
    [undefined, 'relay'],
  ];
  for (const [changedAt, expected] of cases) {
    const source = { ...sourceOf(false), ...(changedAt !== undefined && { changedAt }) };
    assert.equal(decided(of, source), expected, `changed at ${changedAt}`);
    assert.equal(decided(connection('timeout', '', opaque), source), 'relay');
    assert.equal(decided(connection('tls', ours, opaque), source), 'terminate');
  }
});
