import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { parseAddress } from './address.ts';
import { AnnotationError, parseSkips } from './skips.ts';

const inbound = 'config.linkerd.io/skip-inbound-ports';
const outbound = 'config.linkerd.io/skip-outbound-ports';
const subnets = 'config.linkerd.io/skip-subnets';

test("without annotations Linkerd's defaults count", () => {
  assert.deepEqual(parseSkips({}, {}), { inboundPorts: [[4567, 4568]], outboundPorts: [[4567, 4568]], subnets: [] });
});

test('inbound ports are added to the default, outbound ports replace it', () => {
  const skips = parseSkips({}, { [inbound]: '25, 1000-1100', [outbound]: '25,3306' });
  assert.deepEqual(skips.inboundPorts, [[4567, 4568], [25, 25], [1000, 1100]]); // prettier-ignore
  assert.deepEqual(skips.outboundPorts, [[25, 25], [3306, 3306]]); // prettier-ignore
  assert.deepEqual(parseSkips({}, { [outbound]: '' }).outboundPorts, []);
});

test('subnets of both families count their prefix in 128 bits', () => {
  assert.deepEqual(parseSkips({}, { [subnets]: '10.0.0.0/8,fd00::/8,192.0.2.7' }).subnets, [
    [parseAddress('10.0.0.0'), 104],
    [parseAddress('fd00::'), 8],
    [parseAddress('192.0.2.7'), 128],
  ]);
});

test("a pod's annotation hides its namespace's, one by one", () => {
  const skips = parseSkips({ [inbound]: '1', [outbound]: '2' }, { [outbound]: '3' });
  assert.deepEqual(skips.inboundPorts, [[4567, 4568], [1, 1]]); // prettier-ignore
  assert.deepEqual(skips.outboundPorts, [[3, 3]]);
});

test('a bad token spoils all and is named with its annotation', () => {
  for (const [annotation, list, token] of [
    [inbound, '25,abc', 'abc'],
    [inbound, '0', '0'],
    [inbound, '65536', '65536'],
    [outbound, '20-10', '20-10'],
    [outbound, '1,,2', ''],
    [outbound, '1-2-3', '1-2-3'],
    [subnets, '10.0.0.0/8,10.0.0.0/99', '10.0.0.0/99'],
  ] as const) {
    assert.throws(
      () => parseSkips({}, { [inbound]: '25', [annotation]: list }),
      (error) =>
        error instanceof AnnotationError && error.annotation === annotation && error.message.includes(`"${token}"`),
    );
  }
});

test('no list takes more of the kernel than its share', () => {
  const odd = (count: number): string => Array.from({ length: count }, (_, index) => 2 * index + 1).join();
  const networks = (count: number): string =>
    Array.from({ length: count }, (_, index) => `10.${index >> 8}.${index & 255}.0/24`).join();
  for (const [annotation, list] of [
    [inbound, odd(257)],
    [outbound, Array<string>(9).fill('1-65534').join()], // 30 each
    [subnets, networks(257)],
  ] as const) {
    assert.throws(
      () => parseSkips({}, { [annotation]: list }),
      (error) =>
        error instanceof AnnotationError && error.annotation === annotation && /256 are the most/.test(error.message),
    );
  }
  const most = { [inbound]: odd(256), [outbound]: Array<string>(8).fill('1-65534').join(), [subnets]: networks(256) };
  assert.equal(parseSkips({}, most).inboundPorts.length, 257);
});

test('any list of valid ranges is read as written', () => {
  const port = fc.integer({ min: 1, max: 65535 });
  const range = fc.tuple(port, port).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const);
  fc.assert(
    fc.property(fc.array(range, { maxLength: 8 }), (ranges) => {
      const list = ranges.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
      assert.deepEqual(parseSkips({}, { [outbound]: list }).outboundPorts, ranges);
    }),
  );
});

test('no text makes it throw anything else', () => {
  fc.assert(
    fc.property(fc.string(), fc.constantFrom(inbound, outbound, subnets), (text, annotation) => {
      try {
        parseSkips({}, { [annotation]: text });
      } catch (error) {
        assert.ok(error instanceof AnnotationError);
      }
    }),
  );
});
