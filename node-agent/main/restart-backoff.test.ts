import assert from 'node:assert/strict';
import { test } from 'node:test';

import { RestartBackoff } from './restart-backoff.ts';

test('the first restart is at once, then waits double to two seconds', () => {
  const backoff = new RestartBackoff(() => 1);
  assert.deepEqual(
    Array.from({ length: 9 }, () => backoff.next(10)),
    [0, 50, 100, 200, 400, 800, 1600, 2000, 2000],
  );
});

test('a process that lived for long is started again at once', () => {
  const backoff = new RestartBackoff(() => 1);
  for (let death = 0; death < 5; death++) backoff.next(10);
  assert.deepEqual([backoff.next(5000), backoff.next(10)], [0, 50]);
});

test('chance takes away at most half of a wait', () => {
  const backoff = new RestartBackoff(() => 0);
  assert.deepEqual(
    Array.from({ length: 3 }, () => backoff.next(10)),
    [0, 25, 50],
  );
});
