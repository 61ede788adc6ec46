import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { formatAddress, parseAddress } from '../../mesh/address.ts';
import { ConnectionRecord, actions, closeReasons } from './connection-record.ts';
import { writeConnection, writeOutcome } from './test-connection.ts';

test('a record shows what the engine writes', () => {
  const record = new ConnectionRecord();
  writeConnection(record.buffer, { id: 9, pod: 3, local: ['10.0.0.7', 80], remote: ['fd00::1', 40000] });
  writeOutcome(record.buffer, {
    reason: 'connect-failed',
    errno: 111,
    bytesToUpstream: 2 ** 40,
    bytesToClient: 7,
    durationMs: 1.5,
  });
  assert.deepEqual([record.id, record.pod, record.family, record.localPort, record.remotePort], [9, 3, 4, 80, 40000]);
  assert.deepEqual([formatAddress(record.localAddress), formatAddress(record.remoteAddress)], ['10.0.0.7', 'fd00::1']);
  assert.deepEqual([record.reason, record.errno], ['connect-failed', 111]);
  assert.deepEqual([record.bytesToUpstream, record.bytesToClient, record.durationMs], [2 ** 40, 7, 1.5]);
});

const deadlines = { connectTimeoutMs: 1000, idleTimeoutMs: 60_000 };

test('a decision is written where the engine reads it', () => {
  const record = new ConnectionRecord();
  writeConnection(record.buffer, { pod: 3, local: ['fd00::7', 8443], remote: ['fd00::1', 40000] });
  record.relay(actions.relayOut, record.localAddress, record.localPort, deadlines);
  const view = new DataView(record.buffer);
  assert.deepEqual([96, 100, 104, 108].map((offset) => view.getUint32(offset, true)), [2, 1000, 60_000, 8443]); // prettier-ignore
  assert.equal(formatAddress(new Uint8Array(record.buffer, 112, 16)), 'fd00::7');
  record.relayToPod({ address: parseAddress('10.0.0.9'), port: 81, identity: 3, localPod: 4 }, deadlines);
  assert.deepEqual(
    [96, 108, 128, 136].map((offset) => view.getUint32(offset, true)),
    [1, 81, 4, 3],
  );
  record.tunnel({ address: parseAddress('10.0.0.8'), port: 80, identity: 5, workload: 6 }, 7, deadlines);
  assert.deepEqual(
    [96, 128, 132, 136, 140].map((offset) => view.getUint32(offset, true)),
    [6, 0, 7, 5, 6],
  );
  record.http(17, 9000);
  assert.deepEqual(
    [96, 104, 152].map((offset) => view.getUint32(offset, true)),
    [7, 9000, 17],
  );
  record.detect(250);
  assert.deepEqual([view.getUint32(96, true), view.getUint32(144, true)], [3, 250]);
  record.refuse(112);
  assert.deepEqual([view.getUint32(96, true), view.getUint32(148, true)], [0, 112]);
});

test("close reasons are numbered as the engine's", () => {
  const header = readFileSync(new URL('../../native/core/connection_record.h', import.meta.url), 'utf8');
  const [, body = ''] = /enum class CloseReason : uint32_t \{([^}]*)\}/.exec(header) ?? [];
  const names = [...body.matchAll(/k(\w+)/g)].map(([, name = '']) => name.replace(/(?!^)[A-Z]/g, '-$&').toLowerCase());
  assert.deepEqual(closeReasons, names);
});
