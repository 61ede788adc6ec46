import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import {
  addressesEqual,
  formatAddress,
  ipv4Number,
  isInNetwork,
  isIPv4,
  isLoopback,
  isUnspecified,
  parseAddress,
  parseNetwork,
  startsWith,
} from './address.ts';

const anyAddress = fc.uint8Array({ minLength: 16, maxLength: 16 });
/** Many zeros, so that runs of them are met. */
const sparseAddress = fc
  .array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 })
  .map((bytes) => Uint8Array.from(bytes));

test('any sixteen bytes survive being written and read', () => {
  fc.assert(
    fc.property(fc.oneof(anyAddress, sparseAddress), (address) => {
      assert.deepEqual(parseAddress(formatAddress(address)), address);
    }),
  );
});

test('IPv6 is written as the URL standard, which follows RFC 5952, writes it', () => {
  fc.assert(
    fc.property(fc.oneof(anyAddress, sparseAddress), (address) => {
      fc.pre(!isIPv4(address));
      const long = Array.from({ length: 8 }, (_, i) =>
        Buffer.from(address)
          .readUInt16BE(2 * i)
          .toString(16),
      ).join(':');
      assert.equal(`[${formatAddress(address)}]`, new URL(`http://[${long}]/`).hostname);
    }),
  );
});

test('IPv4 is read as a mapped address, however it is written', () => {
  fc.assert(
    fc.property(fc.ipV4(), (text) => {
      const address = parseAddress(text);
      assert.ok(isIPv4(address));
      assert.deepEqual(parseAddress(`::ffff:${text}`), address);
      assert.equal(formatAddress(address), text);
    }),
  );
});

test('every spelling of an IPv6 address that fast-check knows is read as the URL standard reads it', () => {
  fc.assert(
    fc.property(fc.ipV6(), (text) => {
      const address = parseAddress(text);
      if (!isIPv4(address)) assert.equal(`[${formatAddress(address)}]`, new URL(`http://[${text}]/`).hostname);
    }),
  );
});

test('the examples of RFC 5952', () => {
  for (const [written, canonical] of [
    ['2001:0db8::0001', '2001:db8::1'],
    ['2001:db8:0:0:0:0:2:1', '2001:db8::2:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:DB8::AAAA', '2001:db8::aaaa'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['0:0:0:0:0:ffff:192.0.2.1', '192.0.2.1'],
  ] as const) {
    assert.equal(formatAddress(parseAddress(written)), canonical);
  }
});

test('what is no address is refused with its text', () => {
  for (const text of [
    '',
    '1.2.3',
    '1.2.3.4.5',
    '256.0.0.1',
    '01.2.3.4',
    ':::',
    '1:2:3',
    'fe80::1%eth0',
    '12345::',
    ' 1.2.3.4',
  ]) {
    assert.throws(() => parseAddress(text), { name: 'RangeError', message: `"${text}" is not an IP address` });
  }
});

test('loopback is 127.0.0.0/8 and ::1', () => {
  for (const text of ['127.0.0.1', '127.255.255.255', '::1']) assert.ok(isLoopback(parseAddress(text)), text);
  for (const text of ['126.255.255.255', '128.0.0.1', '::', '::2', '1::1', '0.0.0.1']) {
    assert.ok(!isLoopback(parseAddress(text)), text);
  }
});

test('nobody has 0.0.0.0 or ::', () => {
  for (const text of ['0.0.0.0', '::']) assert.ok(isUnspecified(parseAddress(text)), text);
  for (const text of ['0.0.0.1', '1.0.0.0', '::1', '1::', '::1:0:0'])
    assert.ok(!isUnspecified(parseAddress(text)), text);
});

test('equality looks at all bytes', () => {
  fc.assert(
    fc.property(anyAddress, fc.nat(15), fc.integer({ min: 1, max: 255 }), (address, index, change) => {
      const other = address.map((byte, at) => (at === index ? byte ^ change : byte));
      assert.ok(addressesEqual(address, address.slice()));
      assert.ok(!addressesEqual(address, other));
    }),
  );
});

test('an IPv4 address is a number as it is written', () => {
  assert.equal(ipv4Number(parseAddress('10.1.2.255')), 0x0a_01_02_ff);
  assert.equal(ipv4Number(parseAddress('255.255.255.255')), 0xffff_ffff);
});

test('a network keeps the bits of its prefix and clears the others', () => {
  fc.assert(
    fc.property(anyAddress, fc.nat(128), (address, length) => {
      fc.pre(!isIPv4(address));
      const network = parseNetwork(`${formatAddress(address)}/${length}`);
      const bits = (bytes: Uint8Array): string =>
        Array.from(bytes, (byte) => byte.toString(2).padStart(8, '0')).join('');
      assert.equal(network.prefixLength, length);
      assert.equal(bits(network.address), bits(address).slice(0, length).padEnd(128, '0'));
    }),
  );
});

test('an IPv4 network counts its prefix from the mapped form', () => {
  assert.deepEqual(parseNetwork('10.1.2.3/8'), { address: parseAddress('10.0.0.0'), prefixLength: 104 });
  assert.deepEqual(parseNetwork('10.1.2.3'), { address: parseAddress('10.1.2.3'), prefixLength: 128 });
  assert.deepEqual(parseNetwork('0.0.0.0/0'), { address: parseAddress('0.0.0.0'), prefixLength: 96 });
  assert.deepEqual(parseNetwork('::ffff:10.0.0.0/104'), parseNetwork('10.0.0.0/8'));
  assert.deepEqual(parseNetwork('::/0'), { address: parseAddress('::'), prefixLength: 0 });
  assert.ok(startsWith(parseAddress('10.1.2.3'), parseNetwork('10.0.0.0/8').address.subarray(0, 13)));
});

test('what is no network is refused with its text', () => {
  for (const text of [
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    '10.0.0.0/-1',
    '10.0.0.0/1e1',
    'x/8',
    '/8',
    '',
  ]) {
    assert.throws(() => parseNetwork(text), {
      name: 'RangeError',
      message: `"${text}" is not a network in CIDR notation`,
    });
  }
});

test('an address is in a network if their first bits are one', () => {
  const bits = (bytes: Uint8Array): string => [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const length = fc.integer({ min: 0, max: 128 });
  fc.assert(
    fc.property(anyAddress, length, fc.option(length, { nil: undefined }), (address, prefixLength, flipped) => {
      const { address: start } = parseNetwork(formatAddress(address));
      const masked = start.map((byte, index) => {
        const kept = Math.min(8, Math.max(0, prefixLength - 8 * index));
        return byte & ((0xff << (8 - kept)) & 0xff);
      });
      const other = Uint8Array.from(address);
      if (flipped !== undefined && flipped < 128)
        other[flipped >> 3] = (other[flipped >> 3] ?? 0) ^ (0x80 >> (flipped & 7));
      const expected = bits(other).slice(0, prefixLength) === bits(masked).slice(0, prefixLength);
      assert.equal(isInNetwork({ address: masked, prefixLength }, other), expected);
    }),
  );
  assert.ok(isInNetwork(parseNetwork('10.0.0.0/8'), parseAddress('10.255.0.1')));
  assert.ok(!isInNetwork(parseNetwork('10.0.0.0/8'), parseAddress('fd00::a00:1')));
});
