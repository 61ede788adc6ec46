import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { formatAddress, isIPv4, parseAddress } from '../../mesh/address.ts';
import type { Connection, GuardDecision } from './decide.ts';
import { directionOf, guard } from './decide.ts';
import { testPod } from './test-connection.ts';

const pod = testPod();

function connection(local: string, localPort: number, remote = '10.0.0.9'): Connection {
  return { localAddress: parseAddress(local), localPort, remoteAddress: parseAddress(remote), remotePort: 40000 };
}

function decided(of: Connection): GuardDecision | undefined {
  return guard(of, directionOf(of, pod), pod);
}

test("a connection to the pod's own address comes in, any other goes out", () => {
  assert.equal(directionOf(connection('10.0.0.7', 80), pod), 'inbound');
  assert.equal(directionOf(connection('fd00::7', 80, 'fd00::9'), pod), 'inbound');
  assert.equal(directionOf(connection('10.0.0.8', 80), pod), 'outbound');
  assert.equal(directionOf(connection('fd00::8', 80, 'fd00::9'), pod), 'outbound');
});

test('what is reserved is refused, and a proof is told', () => {
  const cases: [GuardDecision | undefined, Connection][] = [
    [undefined, connection('10.0.0.7', 80)],
    [undefined, connection('10.0.0.8', 61000)],
    ['proof', connection('10.0.0.7', 61000)],
    ['proof', connection('fd00::7', 61000)],
    ['proof', connection('169.254.117.0', 9)],
    ['proof', connection('fd77:6566:7400:1::', 9)],
    ['refuse', connection('169.254.117.0', 80)],
    ['refuse', connection('fd77:6566:7400:1::5', 80)],
    ['refuse', connection('169.254.116.3', 80)],
    ['refuse', connection('fd77:6566:7400::3', 80)],
    ['refuse', connection('127.0.0.1', 61000)],
    ['refuse', connection('::1', 80)],
    ['refuse', connection('10.0.0.7', 80, '169.254.116.3')],
    ['refuse', connection('fd00::7', 80, 'fd77:6566:7400::3')],
    [undefined, connection('169.254.118.1', 80)],
    [undefined, connection('169.254.169.254', 80)], // where clouds keep their metadata
    [undefined, connection('fd77:6566:7400:2::1', 80)],
  ];
  for (const [expected, of] of cases)
    assert.equal(decided(of), expected, `${formatAddress(of.localAddress)}:${of.localPort}`);
});

test('everything else passes', () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6()).map(parseAddress);
  const reserved = /^(127\.|169\.254\.11[67]\.|::1$|fd77:6566:7400:)/;
  fc.assert(
    fc.property(address, address, fc.integer({ min: 1, max: 65535 }), (localAddress, remoteAddress, localPort) => {
      const plain = ![localAddress, remoteAddress].some((one) => reserved.test(formatAddress(one)));
      fc.pre(plain && localPort !== pod.listenerPort);
      assert.equal(decided({ localAddress, localPort, remoteAddress, remotePort: 1 }), undefined);
    }),
  );
});

test('no connection to a reserved block ever passes', () => {
  const v4 = fc.tuple(fc.constantFrom(116, 117), fc.nat(255)).map(([third, last]) => `169.254.${third}.${last}`);
  const v6 = fc
    .tuple(fc.constantFrom(0, 1), fc.nat(0xffff))
    .map(([block, last]) => `fd77:6566:7400:${block}::${last.toString(16)}`);
  fc.assert(
    fc.property(fc.oneof(v4, v6), fc.nat(65535), (local, port) => {
      const of = connection(local, port, isIPv4(parseAddress(local)) ? '10.0.0.9' : 'fd00::9');
      assert.notEqual(decided(of), undefined);
    }),
  );
});
