import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseAddress } from '../../mesh/address.ts';
import { actions } from '../../node-agent/worker/connection-record.ts';
import {
  RequestRecord,
  methods,
  noGrpcStatus,
  outcomeFlags,
  requestActions,
  requestEndings,
  requestFlags,
} from '../../node-agent/worker/http/request-record.ts';
import { RecordLayout, compiledLayouts } from './layouts.ts';

const { request, requestConstants, recordConstants } = compiledLayouts();
const layout = new RecordLayout('RequestRecordLayout', request, {
  newUpstreamContext: 'decision.upstream_context',
  outcomeFlags: 'outcome.flags',
});

test('native/engine.d.ts tells where native/core/http/request_record.h has each member', () => {
  layout.assertSame();
});

test('RequestRecord reads every member where the compiler has it', () => {
  const names = layout.assertReads(() => new RequestRecord(), { method: methods[7], ending: requestEndings[7] });
  assert.ok(names.includes('exchange') && names.includes('grpcStatus') && names.includes('durationMs'));
});

test('the address of RequestRecord lies where the compiler has it', () => {
  assert.equal(layout.assertAddresses(new RequestRecord()), 1);
});

const deadlines = { responseTimeoutMs: 2, requestTimeoutMs: 3, idleTimeoutMs: 4 };
const edits = { requestEdits: 5, responseEdits: 6 };
const forwarded = {
  action: requestConstants.actions['forward'],
  destinationPort: 80,
  connectTimeoutMs: 1,
  ...deadlines,
  ...edits,
  upstreamProtocol: 0,
  retries: 0,
};

/** What stands where C++ reads these members. */
function written(record: RequestRecord, names: readonly string[]): Record<string, number> {
  const view = new DataView(record.buffer);
  return Object.fromEntries(names.map((name) => [name, view.getUint32(layout.placeOf(name).offset, true)]));
}

/** What the decision on another request left in the record must not count. */
function usedRecord(): RequestRecord {
  const record = new RequestRecord();
  const used = { address: parseAddress('fd00::9'), port: 9, identity: 9, workload: 9, localPod: 9 };
  record.forwardToPod(used, edits);
  record.tag(9);
  return record;
}

const destination = { address: parseAddress('10.0.0.5'), port: 80, identity: 7, workload: 8, localPod: 9 };

const decisions: Readonly<
  Record<string, [decide: (record: RequestRecord) => void, expected: Record<string, unknown>]>
> = {
  'out of the pod': [
    (record) => record.forward(actions.relayOut, destination.address, 80, edits),
    { ...forwarded, via: recordConstants.actions['relayOut'], appPod: 0, expectedName: 0, newUpstreamContext: 0 },
  ],
  'to the app of another pod': [
    (record) => record.forwardToPod(destination, edits),
    { ...forwarded, via: recordConstants.actions['relayToApp'], appPod: 9, expectedName: 7, newUpstreamContext: 0 },
  ],
  'by a tunnel': [
    (record) => {
      record.forwardByTunnel(destination, 3, edits);
      record.tag(4);
    },
    {
      ...forwarded,
      via: recordConstants.actions['tunnel'],
      appPod: 0,
      credentials: 3,
      expectedName: 7,
      workload: 8,
      newUpstreamContext: 4,
    },
  ],
  'with a response': [(record) => record.respond(12), { action: requestConstants.actions['respond'], response: 12 }],
  'to wait': [(record) => record.hold(250), { action: requestConstants.actions['hold'], connectTimeoutMs: 250 }],
  'to end it': [(record) => record.reset(), { action: requestConstants.actions['reset'] }],
};

for (const [name, [decide, expected]] of Object.entries(decisions)) {
  test(`a decision is written where the compiler has it: ${name}`, () => {
    const record = usedRecord();
    decide(record);
    if (expected['via'] !== undefined) record.limit(1, deadlines);
    assert.deepEqual(written(record, Object.keys(expected)), expected);
    if (expected['via'] !== undefined) assert.deepEqual([...record.destinationAddress], [...destination.address]);
  });
}

test('everything has the number of native/core/http/request_record.h', () => {
  const numbered = (names: readonly string[]): object => Object.fromEntries(names.map((name, index) => [name, index]));
  const { noGrpcStatus: none, ...constants } = requestConstants;
  assert.equal(noGrpcStatus, none);
  assert.deepEqual(constants, {
    actions: requestActions,
    methods: numbered(methods),
    flags: requestFlags,
    outcomeFlags,
    endings: numbered(requestEndings),
  });
});
