import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { formatAddress } from '../../mesh/address.ts';
import { CniError } from './cni-errors.ts';
import { parseCniRequest } from './cni-request.ts';

const environment = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'abc', CNI_NETNS: '/run/netns/one', CNI_IFNAME: 'eth0' };

const parse = (env: object, config: object): ReturnType<typeof parseCniRequest> =>
  parseCniRequest(JSON.stringify({ env: { ...environment, ...env }, config }));

const addresses = (prevResult: unknown): string[] => parse({}, { prevResult }).addresses.map(formatAddress);

function assertRefused(call: () => unknown, code: number, said: RegExp): void {
  assert.throws(call, (error) => error instanceof CniError && error.code === code && said.test(error.message));
}

describe('addresses', () => {
  const interfaces = [{ name: 'cni0' }, { name: 'veth1', sandbox: '' }, { name: 'eth0', sandbox: '/run/netns/one' }];
  const cases: Readonly<Record<string, readonly [unknown, readonly string[]]>> = {
    'of 0.3.1': [
      { interfaces, ips: [{ version: '4', address: '10.1.0.5/16', gateway: '10.1.0.1', interface: 2 }] },
      ['10.1.0.5'],
    ],
    'of 1.0.0, both families': [
      {
        interfaces,
        ips: [
          { address: '10.1.0.5/16', interface: 2 },
          { address: 'fd00::5/64', interface: 2 },
        ],
      },
      ['10.1.0.5', 'fd00::5'],
    ],
    "without the host's": [
      { interfaces, ips: [0, 1, 2].map((index) => ({ address: `10.0.0.${index}/24`, interface: index })) },
      ['10.0.0.2'],
    ],
    'that name no interface': [{ ips: [{ address: '10.0.0.7/24' }] }, ['10.0.0.7']],
    'with null, as Go writes it': [{ interfaces, ips: [{ address: '10.0.0.7/24', interface: null }] }, ['10.0.0.7']],
    'of which there are none': [{ interfaces, ips: null }, []],
    'that the result leaves out': [{}, []],
  };
  for (const [what, [result, expected]] of Object.entries(cases)) {
    test(what, () => {
      assert.deepEqual(addresses(result), expected);
    });
  }

  const refused: readonly unknown[] = [
    { ips: [{ address: 'ten/8' }] },
    { ips: [{}] },
    { ips: [{ address: 'fe80::1%eth0/64' }] },
    { ips: [1] },
    { ips: {} },
    { interfaces, ips: [{ address: '10.0.0.7/24', interface: 3 }] },
    { interfaces, ips: [{ address: '10.0.0.7/24', interface: -1 }] },
    [],
    undefined,
  ];
  for (const result of refused) {
    test(`refuses ${JSON.stringify(result)}`, () => {
      assertRefused(() => addresses(result), 7, /prevResult/);
    });
  }
});

test('the environment is checked as the plugin does', () => {
  for (const name of ['CNI_CONTAINERID', 'CNI_NETNS', 'CNI_IFNAME']) {
    assertRefused(() => parse({ [name]: '' }, { prevResult: {} }), 4, new RegExp(name));
    assertRefused(() => parse({ [name]: 1 }, { prevResult: {} }), 4, new RegExp(name));
  }
  assertRefused(() => parse({ CNI_COMMAND: 'STATUS' }, {}), 4, /STATUS/);
  assertRefused(() => parse({ CNI_ARGS: 'a' }, { prevResult: {} }), 4, /"a"/);
  assertRefused(() => parseCniRequest('{'), 6, /JSON/);
  assert.equal(parse({ CNI_COMMAND: 'DEL', CNI_NETNS: '' }, {}).netns, undefined);
});

test('CNI_ARGS tells the pod; the last of equal keys counts, and an empty value is none', () => {
  const args = (text: string): unknown => parse({ CNI_ARGS: text }, { prevResult: {} }).podNamespace;
  assert.equal(args('IgnoreUnknown=1;K8S_POD_NAMESPACE=a;K8S_POD_NAMESPACE=b=c;'), 'b=c');
  assert.equal(args('K8S_POD_NAMESPACE=a;K8S_POD_NAMESPACE='), undefined);
  assert.equal(args(''), undefined);
});

describe('GC', () => {
  const gc = (config: object): unknown => parse({ CNI_COMMAND: 'GC' }, config).validAttachments;
  const attachment = { containerID: 'abc', ifname: 'eth0' };
  test('reads what is valid, under either key', () => {
    assert.deepEqual(gc({ 'cni.dev/valid-attachments': [attachment] }), [{ containerId: 'abc', ifname: 'eth0' }]);
    assert.deepEqual(gc({ 'cni.dev/attachments': [attachment] }), [{ containerId: 'abc', ifname: 'eth0' }]);
    assert.deepEqual(gc({ 'cni.dev/valid-attachments': null }), []);
  });
  test('is refused where that is not told', () => {
    assertRefused(() => gc({}), 7, /valid-attachments/);
    assertRefused(() => gc({ 'cni.dev/valid-attachments': {} }), 7, /valid-attachments/);
    assertRefused(() => gc({ 'cni.dev/valid-attachments': [{ ifname: 'eth0' }] }), 7, /containerID/);
  });
});
