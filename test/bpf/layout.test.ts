import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConnectionRecord, actions, closeReasons } from '../../node-agent/worker/connection-record.ts';
import { detections } from '../../node-agent/worker/inbound.ts';
import { Btf } from './btf.ts';
import { RecordLayout, assertNoHoles, compiledLayouts } from './layouts.ts';

const { kernel, record, recordConstants } = compiledLayouts();
const layout = new RecordLayout('ConnectionRecordLayout', record, { errno: 'outcome.error' });

test("structures of bpf/weft.h are the same to the kernel's programs and to C++, without padding", () => {
  assertNoHoles(kernel);
  const btf = new Btf();
  for (const [name, structure] of Object.entries(kernel)) assert.deepEqual(btf.structure(name), structure, name);
});

test('every structure of a map is compared', () => {
  const names = new Btf().structuresOfMaps();
  assert.ok(names.has('pod') && names.has('client_key'), 'keys and values are found');
  assert.deepEqual(
    [...names].filter((name) => kernel[name] === undefined),
    [],
  );
});

test('native/engine.d.ts tells where native/core/connection_record.h has each member', () => {
  layout.assertSame();
});

test('ConnectionRecord reads every member where the compiler has it', () => {
  const names = layout.assertReads(() => new ConnectionRecord(), { reason: closeReasons[7] });
  assert.ok(names.includes('id') && names.includes('errno') && names.includes('durationMs'), 'getters are found');
});

test('the addresses of ConnectionRecord lie where the compiler has them', () => {
  assert.ok(layout.assertAddresses(new ConnectionRecord()) >= 4);
});

test('ConnectionRecord writes a decision where the compiler has it', () => {
  const shown = new ConnectionRecord();
  const view = new DataView(shown.buffer);
  shown.localAddress.fill(7);
  shown.relay(actions.relayOut, shown.localAddress, 8443, { connectTimeoutMs: 1000, idleTimeoutMs: 60_000 });
  const written = ['action', 'connectTimeoutMs', 'idleTimeoutMs', 'destinationPort'];
  assert.deepEqual(
    written.map((name) => view.getUint32(layout.placeOf(name).offset, true)),
    [recordConstants.actions['relayOut'], 1000, 60_000, 8443],
  );
  const destination = new Uint8Array(shown.buffer, layout.placeOf('destinationAddress').offset, 16);
  assert.ok(destination.every((byte) => byte === 7));
});

test('actions and reasons have the numbers of native/core/connection_record.h', () => {
  assert.deepEqual(actions, recordConstants.actions);
  assert.deepEqual(detections, recordConstants.detections);
  assert.deepEqual(
    Object.fromEntries(closeReasons.map((reason, index) => [reason, index])),
    recordConstants.closeReasons,
  );
});
