import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { WeftError } from '../../mesh/errors.ts';
import type { Network } from './network-file.ts';
import { chain, isChained, networkFileNames, parseNetwork, unchain, whyUnsuitable } from './network-file.ts';

const entry = { type: 'weft-cni', socket: '/run/weft/cni.sock', exemptNamespaces: ['kube-system'] };
const bridge = { type: 'bridge', bridge: 'cni0', ipam: { type: 'host-local' } };

function parse(name: string, content: unknown): Network {
  const network = parseNetwork(name, typeof content === 'string' ? content : JSON.stringify(content));
  if (network instanceof WeftError) throw network;
  return network;
}

function chained(name: string, content: unknown): Network {
  return parse(name.replace(/\.(conf|json)$/, '.conflist'), chain(parse(name, content), entry));
}

test('files are taken in the order of container runtimes', () => {
  assert.deepEqual(
    networkFileNames([
      'z.conflist',
      '10-b.conf',
      '10-a.json',
      '10-b.conflist',
      'README',
      '05-x.conf.saved',
      'B.conf',
      '.conflist',
    ]),
    ['.conflist', '10-a.json', '10-b.conf', '10-b.conflist', 'B.conf', 'z.conflist'],
  );
});

test('a list gets our entry at its end, keeps all else and is as before without it', () => {
  const list = {
    cniVersion: '1.0.0',
    cniVersions: ['0.4.0'],
    name: 'pods',
    disableCheck: true,
    plugins: [bridge, { type: 'portmap' }],
  };
  const network = chained('10-x.conflist', list);
  assert.deepEqual(JSON.parse(JSON.stringify(network.list)), { ...list, plugins: [...list.plugins, entry] });
  assert.ok(isChained(network, entry));
  const without = unchain(network, 'weft-cni');
  assert.equal(without?.name, '10-x.conflist');
  assert.deepEqual(JSON.parse(without.text), list);
  assert.equal(unchain(parse('10-x.conflist', list), 'weft-cni'), undefined);
});

test('a file of one plugin becomes a list and comes back under its own name', () => {
  for (const name of ['10-x.conf', '10-x.json']) {
    for (const versions of [{ cniVersion: '0.4.0' }, {}]) {
      const plugin = { ...versions, name: 'pods', ...bridge };
      const network = chained(name, plugin);
      assert.ok(isChained(network, entry));
      assert.equal(network.list['cniVersion'], versions.cniVersion ?? '0.3.1');
      assert.equal(network.list['name'], 'pods');
      const without = unchain(network, 'weft-cni');
      assert.equal(without?.name, name);
      assert.deepEqual(JSON.parse(without.text), plugin);
    }
  }
});

test('a wrapped plugin that others have chained themselves to stays a list', () => {
  const { list } = chained('10-x.conf', { name: 'pods', ...bridge });
  const without = unchain(
    parse('10-x.conflist', { ...list, plugins: [...list.plugins, { type: 'tuning' }] }),
    'weft-cni',
  );
  assert.equal(without?.name, '10-x.conflist');
  assert.deepEqual(
    (JSON.parse(without.text) as { plugins: { type: string }[] }).plugins.map(({ type }) => type),
    ['bridge', 'tuning'],
  );
});

test('an entry that others have changed, doubled or put first is not ours', () => {
  const list = (...plugins: unknown[]): Network => parse('x.conflist', { cniVersion: '1.0.0', name: 'pods', plugins });
  assert.ok(isChained(list(bridge, entry, { type: 'tuning' }), entry), 'others may be behind us');
  for (const network of [
    list(bridge),
    list(entry, bridge),
    list(bridge, entry, entry),
    list(bridge, { ...entry, socket: '/tmp/other' }),
    list(bridge, { ...entry, extra: 1 }),
    list(bridge, { type: 'weft-cni' }),
  ]) {
    assert.ok(!isChained(network, entry));
    assert.ok(isChained(parse('x.conflist', chain(network, entry)), entry));
  }
});

test('a wrapped name that leads out of the folder is none', () => {
  for (const wrapped of ['../x.conf', '/etc/passwd', 'x.sh', 'a/b.conf', 7]) {
    const network = parse('x.conflist', {
      cniVersion: '1.0.0',
      name: 'pods',
      plugins: [bridge, { ...entry, wrapped }],
    });
    assert.equal(unchain(network, 'weft-cni')?.name, 'x.conflist');
  }
});

test('malformed files are named with what is wrong', () => {
  const cases: [string, string, RegExp][] = [
    ['a.conflist', '', /a\.conflist: it is not JSON/],
    ['a.conflist', '{"name":"x","plugins":[{"type":"a"}', /not JSON/],
    ['a.conflist', '[]', /no JSON object/],
    ['a.conflist', '{"name":"x","cniVersion":"1.0.0"}', /"plugins" is no list/],
    ['a.conflist', '{"name":"x","cniVersion":"1.0.0","plugins":[]}', /"plugins" is no list/],
    ['a.conflist', '{"name":"x","cniVersion":"1.0.0","plugins":[{}]}', /"plugins" is no list/],
    ['a.conflist', '{"cniVersion":"1.0.0","plugins":[{"type":"a"}]}', /no "name"/],
    ['a.conf', '{"name":"x"}', /no "type"/],
    ['a.conf', '{"name":"x","plugins":[{"type":"a"}]}', /no "type"/],
    ['a.conf', '{"type":"x"}', /no "name"/],
  ];
  for (const [name, text, message] of cases) {
    const problem = parseNetwork(name, text);
    assert.ok(problem instanceof WeftError, text);
    assert.equal(problem.code, 'WEFT-E131');
    assert.match(problem.message, message);
  }
});

test('what we cannot be chained into is well-formed, so our entry still comes out of it', () => {
  for (const cniVersion of [undefined, '0.2.0', '2.0.0', 1]) {
    const network = parse('x.conflist', { cniVersion, name: 'pods', plugins: [bridge, entry] });
    assert.match(whyUnsuitable(network, 'weft-cni')?.message ?? '', /cniVersion/);
    assert.ok(unchain(network, 'weft-cni'));
  }
  assert.match(
    whyUnsuitable(parse('x.conflist', { cniVersion: '1.0.0', name: 'a', plugins: [entry] }), 'weft-cni')?.message ?? '',
    /to follow/,
  );
});

test('whatever JSON a network holds comes back, numbers as they were written', () => {
  const text =
    '{"name":"n","cniVersion":"1.0.0","plugins":[{"type":"a","big":12345678901234567890,"f":1.50,"e":1E5,"__proto__":{"x":1}}]}';
  const network = chained('x.conflist', text);
  const without = unchain(network, 'weft-cni')?.text.replaceAll(/\s/g, '');
  assert.equal(without, text);
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (members) => {
      const plugin = { ...members, type: 'a' };
      const list = JSON.stringify({ ...members, name: 'n', cniVersion: '1.0.0', plugins: [plugin] });
      assert.deepEqual(JSON.parse(unchain(chained('x.conflist', list), 'weft-cni')?.text ?? ''), JSON.parse(list));
    }),
  );
});
