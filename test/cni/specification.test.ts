/** The plugin against the CNI specification 1.1: each verb in each version, each error that applies. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';

import { startAgent } from './agents.ts';
import type { Outcome, Variables, Verb } from './plugin.ts';
import { Runtime, prevResult, runPlugin, verbs, versions } from './plugin.ts';

const since: Readonly<Record<Verb, (typeof versions)[number]>> = {
  ADD: '0.3.1',
  DEL: '0.3.1',
  CHECK: '0.4.0',
  GC: '1.1.0',
  STATUS: '1.1.0',
  VERSION: '0.3.1',
};

function assertFails(outcome: Outcome, code: number, said: RegExp): void {
  assert.equal(outcome.status, 1, outcome.stdout);
  assert.equal(outcome.error.code, code, outcome.stdout);
  assert.match(outcome.error.msg, said);
  assert.deepEqual(Object.keys(outcome.error), ['cniVersion', 'code', 'msg', 'details']);
}

describe('verbs in versions', () => {
  for (const verb of verbs) {
    for (const version of versions) {
      const supported = version >= since[verb];
      test(`${verb} in ${version} ${supported ? 'succeeds' : 'is error 1'}`, async (t) => {
        const runtime = new Runtime(t);
        await startAgent(t, runtime.socket);
        const outcome = await runtime.call(verb, { cniVersion: version });
        if (!supported) {
          assertFails(outcome, 1, new RegExp(`${verb} .* "${version}"`));
          assert.equal(outcome.error.cniVersion, version);
          return;
        }
        assert.equal(outcome.status, 0, outcome.stdout);
        assert.equal(outcome.stderr, '');
        if (verb === 'VERSION') {
          assert.deepEqual(JSON.parse(outcome.stdout), { cniVersion: version, supportedVersions: versions });
        } else {
          assert.equal(outcome.stdout, verb === 'ADD' ? JSON.stringify(prevResult) : '');
        }
      });
    }
  }
});

test('the result of ADD is prevResult byte for byte', async (t) => {
  const runtime = new Runtime(t);
  await startAgent(t, runtime.socket);
  const text = '{ "ips" :\t[], "x":1.50e+00, "\\u0061":"\\u00e9é\\/",\n"a":{"a":[ null ]}}';
  const config = runtime.config({ prevResult: 'HERE' }).replace('"HERE"', () => text);
  assert.equal((await runPlugin(runtime.variables('ADD'), config)).stdout, text);
});

test('of keys that come twice the last counts, as for the agent', async (t) => {
  const runtime = new Runtime(t);
  const { calls } = await startAgent(t, runtime.socket);
  const config = runtime.config().replace(/}$/, ',"prev\\u0052esult":{"ips":[{"address":"10.9.9.9/8"}]}}');
  const outcome = await runPlugin(runtime.variables('ADD'), config);
  assert.equal(outcome.stdout, '{"ips":[{"address":"10.9.9.9/8"}]}');
  assert.deepEqual(calls[0]?.request.addresses[0]?.slice(12), Uint8Array.of(10, 9, 9, 9));
});

for (const stdin of ['{"cniVersion":"9.9.9"}', '{}', '{"cniVersion":7}']) {
  test(`VERSION answers ${stdin}`, async () => {
    const outcome = await runPlugin({ CNI_COMMAND: 'VERSION' }, stdin);
    const cniVersion = stdin.includes('9.9.9') ? '9.9.9' : '1.1.0';
    assert.deepEqual(JSON.parse(outcome.stdout), { cniVersion, supportedVersions: versions });
    assert.equal(outcome.status, 0);
  });
}

describe('environment', () => {
  const attachment: readonly Verb[] = ['ADD', 'DEL', 'CHECK'];
  const long = (length: number): string => 'x'.repeat(length);
  const cases: readonly { verbs: readonly Verb[]; variables: Variables; says: RegExp }[] = [
    ...[undefined, ''].flatMap((absent) => [
      { verbs: attachment, variables: { CNI_CONTAINERID: absent }, says: /CNI_CONTAINERID is missing/ },
      { verbs: attachment, variables: { CNI_IFNAME: absent }, says: /CNI_IFNAME is missing/ },
      { verbs: ['ADD', 'CHECK'] as const, variables: { CNI_NETNS: absent }, says: /CNI_NETNS is missing/ },
      { verbs: ['GC'] as const, variables: { CNI_PATH: absent }, says: /CNI_PATH is missing/ },
    ]),
    ...['-a', '.a', '_a', 'a/b', 'a b', 'a;', 'é'].map((id) => ({
      verbs: attachment,
      variables: { CNI_CONTAINERID: id },
      says: /CNI_CONTAINERID/,
    })),
    ...[long(16), '.', '..', 'a/b', 'a:b', 'a b', 'a\tb', 'a\vb'].map((name) => ({
      verbs: attachment,
      variables: { CNI_IFNAME: name },
      says: /CNI_IFNAME/,
    })),
    ...['a', 'A=1;b', '=1', 'A=1;=2', 'a;K8S_POD_NAMESPACE=shop', `K8S_POD_NAMESPACE=${long(256)}`].map((args) => ({
      verbs: attachment,
      variables: { CNI_ARGS: args },
      says: /CNI_ARGS/,
    })),
    { verbs: ['ADD'], variables: { CNI_PATH: long(80 * 1024) }, says: /CNI_PATH.*too large/ },
  ];
  for (const { verbs: affected, variables, says } of cases) {
    const [name = '', value = 'missing'] = Object.entries(variables)[0] ?? [];
    for (const verb of affected) {
      test(`${verb} with ${name} ${JSON.stringify(value.slice(0, 40))} is error 4`, async (t) => {
        const runtime = new Runtime(t);
        const stdin = runtime.config(name === 'CNI_PATH' ? { filler: long(1024 * 1024 - 700) } : {});
        const outcome = await runPlugin({ ...runtime.variables(verb), ...variables }, stdin);
        assertFails(outcome, 4, says);
      });
    }
  }

  for (const command of [undefined, '', 'add', 'ADDX', 'GET']) {
    test(`CNI_COMMAND ${command ?? 'missing'} is error 4`, async () => {
      assertFails(await runPlugin({ CNI_COMMAND: command }, '{}'), 4, /CNI_COMMAND/);
    });
  }

  const accepted: readonly (readonly [Verb, Variables])[] = [
    ['ADD', { CNI_PATH: undefined, CNI_ARGS: undefined }],
    ['ADD', { CNI_ARGS: '' }],
    ['ADD', { CNI_ARGS: ';A=1;;B=x=y;' }],
    ['ADD', { CNI_CONTAINERID: long(200), CNI_IFNAME: long(15) }],
    ['DEL', { CNI_NETNS: undefined }],
    ['DEL', { CNI_NETNS: '' }],
    ['GC', { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined, CNI_ARGS: undefined }],
    ['STATUS', { CNI_CONTAINERID: undefined, CNI_NETNS: undefined, CNI_IFNAME: undefined, CNI_PATH: undefined }],
  ];
  for (const [verb, variables] of accepted) {
    test(`${verb} does with ${JSON.stringify(variables).slice(0, 60)}, missing ${Object.keys(variables).join()}`, async (t) => {
      const runtime = new Runtime(t);
      await startAgent(t, runtime.socket);
      const outcome = await runPlugin({ ...runtime.variables(verb), ...variables }, runtime.config());
      assert.equal(outcome.status, 0, outcome.stdout);
    });
  }
});

describe('configuration', () => {
  const cases: readonly (readonly [string, readonly Verb[], Readonly<Record<string, unknown>>, number, RegExp])[] = [
    ['unsupported version', verbs, { cniVersion: '0.3.0' }, 1, /0\.3\.0/],
    ['future version', verbs, { cniVersion: '2.0.0' }, 1, /2\.0\.0/],
    ['no version', verbs, { cniVersion: undefined }, 1, /cniVersion/],
    ['a version that is no string', verbs, { cniVersion: 1 }, 1, /cniVersion/],
    ['no name', verbs, { name: undefined }, 7, /name/],
    ['a bad name', verbs, { name: '-x' }, 7, /name/],
    ['no prevResult', ['ADD', 'CHECK'], { prevResult: undefined }, 7, /prevResult/],
    ['null as prevResult', ['ADD', 'CHECK'], { prevResult: null }, 7, /prevResult/],
    ['a list as prevResult', ['ADD', 'CHECK'], { prevResult: [] }, 7, /prevResult/],
    ['a number as socket', ['ADD'], { socket: 1 }, 7, /socket/],
    ['a relative socket', ['ADD'], { socket: 'cni.sock' }, 7, /socket/],
    ['a socket longer than sun_path', ['ADD'], { socket: `/${'x'.repeat(107)}` }, 7, /socket/],
    ['a bad namespacesFile', ['ADD'], { namespacesFile: {} }, 7, /namespacesFile/],
    ['a bad exemptNamespaces', ['ADD'], { exemptNamespaces: ['a', 1] }, 7, /exemptNamespaces/],
  ];
  for (const [what, affected, overrides, code, says] of cases) {
    for (const verb of affected.filter((candidate) => candidate !== 'VERSION')) {
      test(`${verb} with ${what} is error ${code}`, async (t) => {
        const runtime = new Runtime(t);
        assertFails(await runtime.call(verb, overrides), code, says);
        assert.equal(existsSync(runtime.socket), false);
      });
    }
  }

  for (const verb of verbs) {
    test(`${verb} takes 1 MiB of configuration and no more`, async (t) => {
      const runtime = new Runtime(t);
      await startAgent(t, runtime.socket);
      const config = runtime.config();
      const largest = config + ' '.repeat(1024 * 1024 - config.length);
      assert.equal((await runPlugin(runtime.variables(verb), largest)).status, 0);
      assertFails(await runPlugin(runtime.variables(verb), `${largest} `), 7, /1 MiB/);
    });
  }

  const garbage: readonly (readonly [string, number | undefined])[] = [
    ['', 0],
    ['{"cniVersion":"1.1.0"', 21],
    ['{"cniVersion":"1.1.0",}', 22],
    ['\0', 0],
    ['[]', undefined],
    ['"ADD"', undefined],
    [`{"a":${'['.repeat(64)}${']'.repeat(64)}}`, 68],
  ];
  for (const [stdin, position] of garbage) {
    test(`${JSON.stringify(stdin).slice(0, 40)} as configuration is error 6`, async (t) => {
      for (const verb of verbs) {
        const says = position === undefined ? /no JSON object/ : new RegExp(`byte ${position}\\b`);
        assertFails(await runPlugin(new Runtime(t).variables(verb), stdin), 6, says);
      }
    });
  }
});
