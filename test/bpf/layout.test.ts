import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { ConnectionRecord, actions, closeReasons } from '../../node-agent/worker/connection-record.ts';
import { Btf } from './btf.ts';
import { assertNoHoles, compiledLayouts, snakeCase } from './layouts.ts';

const { kernel, record, recordConstants } = compiledLayouts();

/** Members of ConnectionRecordLayout that are called otherwise in native/core/connection_record.h, as the names are less plain there. */
const otherNames: Readonly<Record<string, string>> = { errno: 'outcome.error' };

/** Where C++ has a member of ConnectionRecordLayout. */
function compiledPlace(name: string): { readonly path: string; readonly offset: number; readonly size: number } {
  const paths = ['identity', 'decision', 'outcome'].map((part) => `${part}.${snakeCase(name)}`);
  for (const path of [otherNames[name], ...paths]) {
    const [part = '', member = ''] = path?.split('.') ?? [];
    const place = record[part]?.members[member];
    const start = record['record']?.members[part];
    if (path !== undefined && place && start) return { path, offset: start.offset + place.offset, size: place.size };
  }
  throw new assert.AssertionError({ message: `native/core/connection_record.h has no ${name}` });
}

function recordLayoutOfTypeScript(): Map<string, number> {
  const text = readFileSync(new URL('../../native/engine.d.ts', import.meta.url), 'utf8');
  const body = /interface ConnectionRecordLayout \{([^}]*)\}/.exec(text)?.[1] ?? '';
  return new Map(
    [...body.matchAll(/^ {2}readonly (\w+): (\d+);$/gm)].map(([, name = '', offset]) => [name, Number(offset)]),
  );
}

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
  assertNoHoles(record);
  const layout = recordLayoutOfTypeScript();
  for (const [name, offset] of layout) assert.equal(offset, compiledPlace(name).offset, name);

  const told = new Set([...layout.keys()].map((name) => compiledPlace(name).path));
  const members = ['identity', 'decision', 'outcome'].flatMap((part) =>
    Object.keys(record[part]?.members ?? {}).map((member) => `${part}.${member}`),
  );
  assert.deepEqual(
    members.filter((path) => !path.endsWith('.reserved') && !told.has(path)),
    [],
  );
});

const isGetter = (name: string): boolean =>
  Object.getOwnPropertyDescriptor(ConnectionRecord.prototype, name)?.get !== undefined;

test('ConnectionRecord reads every member where the compiler has it', () => {
  const names = [...recordLayoutOfTypeScript().keys()].filter((name) => isGetter(name));
  assert.ok(names.includes('id') && names.includes('errno') && names.includes('durationMs'), 'getters are found');
  for (const name of names) {
    const shown = new ConnectionRecord();
    const { offset, size } = compiledPlace(name);
    const view = new DataView(shown.buffer);
    if (size === 8) view.setFloat64(offset, 7, true);
    else view.setUint32(offset, 7, true);
    const expected = name === 'reason' ? closeReasons[7] : 7;
    assert.equal(Reflect.get(shown, name), expected, name);
  }
});

test('the addresses of ConnectionRecord lie where the compiler has them', () => {
  const shown = new ConnectionRecord();
  assert.equal(shown.buffer.byteLength, record['record']?.size);
  const addresses = Object.entries(shown).filter(([, value]) => value instanceof Uint8Array) as [string, Uint8Array][];
  assert.ok(addresses.length >= 4);
  for (const [name, address] of addresses) {
    const { offset, size } = compiledPlace(name);
    assert.deepEqual([address.byteOffset, address.byteLength], [offset, size], name);
  }
});

test('ConnectionRecord writes a decision where the compiler has it', () => {
  const shown = new ConnectionRecord();
  const view = new DataView(shown.buffer);
  shown.localAddress.fill(7);
  shown.relay(actions.relayOut, shown.localAddress, 8443, { connectTimeoutMs: 1000, idleTimeoutMs: 60_000 });
  const written = ['action', 'connectTimeoutMs', 'idleTimeoutMs', 'destinationPort'];
  assert.deepEqual(
    written.map((name) => view.getUint32(compiledPlace(name).offset, true)),
    [recordConstants.actions['relayOut'], 1000, 60_000, 8443],
  );
  const destination = new Uint8Array(shown.buffer, compiledPlace('destinationAddress').offset, 16);
  assert.ok(destination.every((byte) => byte === 7));
});

test('actions and reasons have the numbers of native/core/connection_record.h', () => {
  assert.deepEqual(actions, recordConstants.actions);
  assert.deepEqual(
    Object.fromEntries(closeReasons.map((reason, index) => [reason, index])),
    recordConstants.closeReasons,
  );
});
