import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WeftError } from '../mesh/errors.ts';
import type { ErrorCode } from '../mesh/errors.ts';
import { Readers } from './readers.ts';

function begin(answer: (token: string) => Promise<ErrorCode | undefined> | ErrorCode | undefined = () => undefined) {
  const asked: string[] = [];
  let now = 0;
  const readers = new Readers({
    deadlineMs: 1000,
    now: () => now,
    review: async (token) => {
      asked.push(token);
      const code = await answer(token);
      return code && new WeftError(code, 'why');
    },
  });
  const ask = async (token: string) => (await readers.review(token))?.code;
  return { asked, ask, later: (ms: number) => (now += ms) };
}

test('a good answer is kept for 20 s, a bad one for 2 s', async () => {
  const { asked, ask, later } = begin((token) => (token === 'bad' ? 'WEFT-E231' : undefined));
  for (let i = 0; i < 3; i++) assert.deepEqual([await ask('good'), await ask('bad')], [undefined, 'WEFT-E231']);
  assert.deepEqual(asked, ['good', 'bad']);
  later(2000);
  await ask('good');
  await ask('bad');
  assert.deepEqual(asked, ['good', 'bad', 'bad']);
  later(18_000);
  await ask('good');
  assert.deepEqual(asked, ['good', 'bad', 'bad', 'good']);
});

test('what has become bad is bad, and what has become good is good', async () => {
  let code: ErrorCode | undefined;
  const { ask, later } = begin(() => code);
  for (const next of [undefined, 'WEFT-E230', undefined] as const) {
    code = next;
    later(20_000);
    assert.equal(await ask('a'), next);
    assert.equal(await ask('a'), next);
  }
});

test('while nobody can say, nobody reads, and who was good reads as soon as somebody can', async () => {
  let code: ErrorCode | undefined;
  const { ask, later } = begin(() => code);
  await ask('a');
  code = 'WEFT-E306';
  assert.equal(await ask('a'), undefined, 'still kept');
  later(20_000);
  assert.equal(await ask('a'), 'WEFT-E306');
  code = undefined;
  assert.equal(await ask('a'), undefined);
});

test('who asks the same at once gets one answer; an answer that fails says that nobody knows', async () => {
  const { promise, reject } = Promise.withResolvers<undefined>();
  const { asked, ask } = begin(() => promise);
  const answers = [ask('a'), ask('a'), ask('a')];
  reject(new Error('the line is dead'));
  assert.deepEqual(await Promise.all(answers), ['WEFT-E232', 'WEFT-E232', 'WEFT-E232']);
  assert.deepEqual(asked, ['a']);
});

test('strangers can neither ask without end nor push out who is known', async () => {
  const gate = Promise.withResolvers<undefined>();
  let isOpen = true;
  const { asked, ask, later } = begin((token) => {
    if (token === 'known' || isOpen) return token === 'known' ? undefined : 'WEFT-E230';
    return gate.promise;
  });
  await ask('known');
  for (let i = 0; i < 3000; i++) await ask(`early ${i}`);
  isOpen = false;
  later(20_000);
  const open = Array.from({ length: 16 }, (_, i) => ask(`stranger ${i}`));
  assert.equal(await ask('one more'), 'WEFT-E232');
  assert.equal(await ask('known'), undefined, 'asked anew, beside them');
  gate.resolve(undefined);
  await Promise.all(open);
  assert.equal(asked.filter((token) => token === 'known').length, 2);
});
