import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as protocol from '../../node-agent/main/broker-protocol.ts';
import { assertNoHoles, compiledLayouts, snakeCase } from '../../test/bpf/layouts.ts';

const { broker: structures, brokerConstants: constants } = compiledLayouts();

function capitalized(name: string): string {
  return name.replace(/^./, (letter) => letter.toUpperCase());
}

/** A member as the broker reads it: an integer, or bytes where it is none. */
function read(message: Buffer, structure: string, member: string): number | Buffer {
  assert.equal(message.length, structures[structure]?.size, `size of ${structure}`);
  const place = structures[structure]?.members[member];
  assert.ok(place, `${structure} has no member ${member}`);
  const bytes = message.subarray(place.offset, place.offset + place.size);
  return place.size <= 4 ? bytes.readUIntLE(0, place.size) : bytes;
}

function answer(structure: string, members: Readonly<Record<string, number>>): Buffer {
  const message = Buffer.alloc(structures[structure]?.size ?? 0);
  for (const [member, value] of Object.entries(members)) {
    const place = structures[structure]?.members[member];
    assert.ok(place, `${structure} has no member ${member}`);
    message.writeIntLE(value, place.offset, place.size);
  }
  return message;
}

test('sizes and offsets are those of native/broker/protocol.h', () => {
  assertNoHoles(structures);
  for (const [name, { size, ...offsets }] of Object.entries(protocol.layouts)) {
    const structure = structures[capitalized(name)];
    const compiled = Object.entries(structure?.members ?? {}).map(([member, { offset }]) => [member, offset]);
    const own = Object.entries(offsets).map(([member, offset]) => [snakeCase(member), offset]);
    assert.deepEqual([name, size, [['type', 0], ...own]], [name, structure?.size, compiled]);
  }
  assert.deepEqual(Object.keys(protocol.layouts).map(capitalized).sort(), Object.keys(structures).sort());
});

test('numbers are those of native/broker/protocol.h', () => {
  for (const [name, value] of Object.entries(protocol.messageTypes))
    assert.equal(value, constants[`k${capitalized(name)}`], name);
  assert.equal(protocol.maximumAvoidedPorts, constants['kMaxAvoidedPorts']);
  assert.equal(protocol.firstListenerPort, constants['kFirstListenerPort']);
});

test('the broker reads what main writes', () => {
  const hello = protocol.encodeHello();
  assert.deepEqual(
    [read(hello, 'Hello', 'type'), read(hello, 'Hello', 'role')],
    [constants['kHello'], constants['kMain']],
  );

  assert.equal(read(protocol.encodeSetListenerMap(), 'SetListenerMap', 'type'), constants['kSetListenerMap']);

  const ipv4 = Buffer.from('00000000000000000000ffff0a000007', 'hex');
  const ipv6 = Buffer.from('fd000000000000000000000000000007', 'hex');
  const avoidedPorts = [80, 60999, 61000, 65535];
  const pod = protocol.encodeAddPod({ pod: 0xfffffffe, workers: 3, ipv4, ipv6, avoidedPorts });
  const podMembers = ['type', 'pod', 'workers', 'ipv6', 'ipv4', 'ipv6_address', 'avoided_count'];
  assert.deepEqual(
    podMembers.map((member) => read(pod, 'AddPod', member)),
    [constants['kAddPod'], 0xfffffffe, 3, 1, ipv4, ipv6, 2],
  );
  const avoided = read(pod, 'AddPod', 'avoided') as Buffer;
  assert.equal(avoided.length, 2 * protocol.maximumAvoidedPorts);
  assert.deepEqual([...new Uint16Array(Uint8Array.from(avoided).buffer)].slice(0, 3), [61000, 65535, 0]);

  const removal = protocol.encodeRemovePod(7);
  assert.deepEqual(
    [read(removal, 'RemovePod', 'type'), read(removal, 'RemovePod', 'pod')],
    [constants['kRemovePod'], 7],
  );

  const proof = protocol.encodeProve({ pod: 7, deadlineMs: 2000, port: 9, destination: ipv4 });
  assert.deepEqual(
    ['type', 'pod', 'deadline_ms', 'port', 'destination'].map((member) => read(proof, 'Prove', member)),
    [constants['kProve'], 7, 2000, 9, ipv4],
  );

  const drain = protocol.encodeDrain(10_000);
  assert.deepEqual([read(drain, 'Drain', 'type'), read(drain, 'Drain', 'grace_ms')], [constants['kDrain'], 10_000]);
});

test('more ports to avoid than a message holds: the first count', () => {
  const avoidedPorts = Array.from({ length: 100 }, (_, index) => 61000 + index);
  const message = protocol.encodeAddPod({ pod: 1, workers: 1, ipv4: undefined, ipv6: undefined, avoidedPorts });
  assert.equal(read(message, 'AddPod', 'avoided_count'), constants['kMaxAvoidedPorts']);
});

test('main reads what the broker writes, of exactly its size', () => {
  const answers = [
    [
      answer('PodAdded', { type: constants['kPodAdded'] ?? 0, pod: 7, error: -1, port: 61001 }),
      { type: 'pod-added', pod: 7, error: -1, port: 61001 },
    ],
    [
      answer('Proved', { type: constants['kProved'] ?? 0, pod: 7, error: 110, source_port: 40000 }),
      { type: 'proved', pod: 7, error: 110, sourcePort: 40000 },
    ],
    [answer('Drain', { type: constants['kDrain'] ?? 0, grace_ms: 10_000 }), { type: 'drain' }],
  ] as const;
  for (const [message, expected] of answers) {
    assert.deepEqual(protocol.decodeAnswer(message), expected);
    for (let length = 0; length < message.length; length++)
      assert.equal(
        protocol.decodeAnswer(message.subarray(0, length)),
        undefined,
        `${expected.type} of ${length} bytes`,
      );
    assert.equal(protocol.decodeAnswer(Buffer.concat([message, Buffer.alloc(1)])), undefined, `long ${expected.type}`);
  }
  for (const type of [constants['kHello'], constants['kAddPod'], 0, 0xffff])
    assert.equal(protocol.decodeAnswer(answer('Drain', { type: type ?? 0 })), undefined);
});
