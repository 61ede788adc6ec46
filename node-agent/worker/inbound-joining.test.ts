import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseAddress } from '../../mesh/address.ts';
import type { Destination } from './destinations.ts';
import type { InboundConnection, InboundDecision } from './inbound.ts';
import { decideInbound, detections } from './inbound.ts';
import { testPod } from './test-connection.ts';

const suffix = '.mesh';
const opaquePort = 3306;
const minute = 60_000;

function source(meshed: boolean): Destination {
  const address = parseAddress('10.0.0.9');
  return {
    kind: 'endpoints',
    protocol: 'opaque',
    endpoints: [{ address, port: 0, meshed, identity: 1, workload: 1, localPod: 0 }],
  };
}

const known = { from: source(true), announcedAt: 0 };

function decided(
  changed: Partial<InboundConnection>,
  { from, announcedAt }: { readonly from: Destination; readonly announcedAt: number | undefined } = known,
): InboundDecision {
  const connection: InboundConnection = {
    id: 1,
    peerName: 0,
    detected: detections.nothing,
    askedFor: '',
    localAddress: parseAddress('10.0.0.7'),
    localPort: 80,
    remoteAddress: parseAddress('10.0.0.9'),
    remotePort: 40000,
    ...changed,
  };
  return decideInbound(connection, { ...testPod(), announcedAt }, from, minute, suffix);
}

test('while meshed sources may not have heard of the pod they are waited for briefly, and believed in plaintext', () => {
  for (const announcedAt of [minute - 9000, undefined]) {
    const pod = { announcedAt, from: source(true) };
    assert.equal(decided({ localPort: opaquePort }, pod), 'detect-briefly');
    assert.equal(decided({ localPort: opaquePort, detected: detections.timeout }, pod), 'relay');
    assert.equal(decided({ detected: detections.plaintext }, pod), 'relay');
  }
});
