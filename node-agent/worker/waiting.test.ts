import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { Waiting } from './waiting.ts';

test('whoever waits for the same thing is taken at once, in the order in which they came', () => {
  const waiting = new Waiting<{ readonly id: number }>();
  assert.equal(waiting.add({ id: 3 }, 'a'), 'first');
  assert.equal(waiting.add({ id: 1 }, 'a'), 'joined');
  assert.equal(waiting.add({ id: 2 }, 'b'), 'first');
  assert.deepEqual(
    waiting.take('a').map(({ id }) => id),
    [3, 1],
  );
  assert.deepEqual(waiting.take('a'), []);
  assert.deepEqual([waiting.has('a'), waiting.has('b')], [false, true]);
  assert.equal(waiting.add({ id: 3 }, 'a'), 'first');
});

test('more than 4,096 do not wait, and who goes makes room', () => {
  const waiting = new Waiting<{ readonly id: number }>();
  for (let id = 0; id < 4096; id++) assert.notEqual(waiting.add({ id: id }, id % 100), undefined);
  assert.equal(waiting.add({ id: 5000 }, 'new'), undefined);
  assert.equal(waiting.add({ id: 5000 }, 1), undefined);
  assert.equal(waiting.has('new'), false);
  assert.ok(waiting.forget(7));
  assert.equal(waiting.add({ id: 5000 }, 'new'), 'first');
  assert.equal(waiting.add({ id: 5001 }, 'new'), undefined);
  waiting.take(1);
  assert.equal(waiting.add({ id: 5001 }, 'new'), 'joined');
});

type Step = { readonly add: number; readonly key: number } | { readonly take: number } | { readonly forget: number };

test('each waits for one thing until it is taken or forgotten', () => {
  const id = fc.nat(20);
  const key = fc.nat(4);
  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({ add: id, key }),
    fc.record({ take: key }),
    fc.record({ forget: id }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const waiting = new Waiting<{ readonly id: number }>();
      const model = new Map<number, number>();
      const atKey = (wanted: number): number[] => [...model].flatMap(([one, at]) => (at === wanted ? [one] : []));
      for (const one of steps) {
        if ('add' in one) {
          if (model.has(one.add)) continue; // an id is one connection's
          assert.equal(waiting.add({ id: one.add }, one.key), atKey(one.key).length === 0 ? 'first' : 'joined');
          model.set(one.add, one.key);
        } else if ('take' in one) {
          assert.deepEqual(
            waiting.take(one.take).map((taken) => taken.id),
            atKey(one.take),
          );
          for (const taken of atKey(one.take)) model.delete(taken);
        } else {
          assert.equal(waiting.forget(one.forget)?.id, model.has(one.forget) ? one.forget : undefined);
          model.delete(one.forget);
        }
        for (let at = 0; at <= 4; at++) assert.equal(waiting.has(at), atKey(at).length > 0);
      }
    }),
  );
});
