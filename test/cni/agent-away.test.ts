/** What the plugin answers by itself, and how soon, when the agent cannot. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { describe, test } from 'node:test';

import { writeNamespacesFile } from '../../node-agent/main/namespaces-file.ts';
import {
  startAgent,
  startDeafAgent,
  startDribblingAgent,
  startFixedAgent,
  startFullAgent,
  startHungAgent,
} from './agents.ts';
import { Runtime, prevResult, runPlugin } from './plugin.ts';

/** The plugin's own deadline is 1.5 s; on a busy machine eight of them take longer to start. */
const soonMs = 5000;

const message = (text: string): Buffer => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(text.length);
  return Buffer.concat([length, Buffer.from(text)]);
};

const garbage: Readonly<Record<string, Uint8Array>> = {
  'closes at once': Buffer.alloc(0),
  'closes within the length': Buffer.from([0, 0]),
  'closes within the answer': message('{"ok":true}').subarray(0, 9),
  'announces 4 GiB': Buffer.alloc(4, 0xff),
  'answers nothing': message(''),
  'answers no JSON': message('{"ok":true'),
  'answers a list': message('[true]'),
  'answers without ok': message('{}'),
  'answers ok as a string': message('{"ok":"true"}'),
  'refuses without an error': message('{"ok":false}'),
  'refuses without a code': message('{"ok":false,"error":{"msg":"x"}}'),
  'refuses with a code of zero': message('{"ok":false,"error":{"code":0,"msg":"x"}}'),
  'refuses with a fraction': message('{"ok":false,"error":{"code":1.5,"msg":"x"}}'),
  'refuses without a message': message('{"ok":false,"error":{"code":11}}'),
};

const agents: Readonly<Record<string, (t: TestContext, path: string) => Promise<void>>> = {
  'is not there': () => Promise.resolve(),
  'left its socket behind': (_, path) => {
    writeFileSync(path, '');
    return Promise.resolve();
  },
  'never answers': startHungAgent,
  'never reads': startDeafAgent,
  'answers byte by byte': startDribblingAgent,
  'has a full backlog': startFullAgent,
  ...Object.fromEntries(
    Object.entries(garbage).map(([what, bytes]) => [
      what,
      (t: TestContext, path: string) => startFixedAgent(t, path, bytes),
    ]),
  ),
};

for (const [what, start] of Object.entries(agents)) {
  test(`an agent that ${what}`, async (t) => {
    const runtime = new Runtime(t);
    await start(t, runtime.socket);
    writeNamespacesFile(runtime.namespacesFile, ['bank', 'shop']);
    const filler = 'x'.repeat(900 * 1024); // more than a socket takes unread
    const [optedIn, optedOut, noPod, large, del, check, gc, status] = await Promise.all([
      runtime.call('ADD', {}, 'shop'),
      runtime.call('ADD', {}, 'other'),
      runPlugin({ ...runtime.variables('ADD'), CNI_ARGS: undefined }, runtime.config()),
      runtime.call('ADD', { filler }, 'other'),
      runtime.call('DEL', { prevResult: undefined }),
      runtime.call('CHECK'),
      runtime.call('GC'),
      runtime.call('STATUS'),
    ]);
    assert.equal(optedIn.status, 1);
    assert.equal(optedIn.error.code, 11);
    assert.match(optedIn.error.msg, /agent on this node does not answer.*"shop"/);
    assert.match(optedIn.error.details, /cni\.sock: .*weft-agent pod/);
    for (const passed of [optedOut, noPod, large]) {
      assert.equal(passed.status, 0, passed.stdout);
      assert.equal(passed.stdout, JSON.stringify(prevResult));
      assert.match(passed.stderr, /^weft-cni: ADD goes on without the weft agent: .+\n$/);
    }
    for (const quiet of [del, check, gc, status]) {
      assert.equal(quiet.status, 0, quiet.stdout);
      assert.equal(quiet.stdout, '');
    }
    assert.equal(status.stderr, '');
    for (const outcome of [optedIn, optedOut, noPod, large, del, check, gc, status]) {
      assert.ok(outcome.tookMs < soonMs, `took ${outcome.tookMs} ms`);
    }
  });
}

describe('namespaces file', () => {
  const contents: Readonly<Record<string, string | undefined>> = {
    'is missing': undefined,
    'is empty': '',
    'is cut off': '{"version":1,"namespaces":["sh',
    'is of another version': '{"version":2,"namespaces":[]}',
    'has no list': '{"version":1,"namespaces":{}}',
    'lists other things': '{"version":1,"namespaces":[1]}',
    'is too large': `{"version":1,"namespaces":[${'"x",'.repeat(1024 * 1024)}"x"]}`,
  };
  for (const [what, content] of Object.entries(contents)) {
    test(`that ${what} lets only exempt namespaces start`, async (t) => {
      const runtime = new Runtime(t);
      if (content !== undefined) writeFileSync(runtime.namespacesFile, content);
      for (const namespace of ['other', '']) {
        const outcome = await runtime.call('ADD', {}, namespace);
        assert.equal(outcome.error.code, 11);
        assert.match(outcome.error.msg, /namespaces\.json/);
      }
      for (const namespace of ['kube-system', 'weft-system']) {
        assert.equal((await runtime.call('ADD', {}, namespace)).status, 0);
      }
    });
  }
});

test('exempt namespaces do not wait for the agent', async (t) => {
  const runtime = new Runtime(t);
  const { calls } = await startAgent(t, runtime.socket);
  for (const verb of ['ADD', 'DEL', 'CHECK'] as const) {
    assert.equal((await runtime.call(verb, {}, 'kube-system')).status, 0);
    assert.equal((await runtime.call(verb, { exemptNamespaces: ['shop'] }, 'shop')).status, 0);
  }
  assert.equal(calls.length, 0);
  await runtime.call('ADD', { exemptNamespaces: ['shop'] }, 'kube-system');
  assert.equal(calls.length, 1);
});
