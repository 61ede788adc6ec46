import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Wakeup } from './wakeup.ts';

const never = new AbortController().signal;
const long = 60_000;

test('it wakes by a call before or during the sleep, by the signal and by time', { timeout: 5000 }, async () => {
  const wakeup = new Wakeup();
  wakeup.call();
  wakeup.call();
  await wakeup.wait(never, long);
  const begun = performance.now();
  await wakeup.wait(never, 30);
  assert.ok(performance.now() - begun >= 28, 'two calls before count as one');
  const sleeping = wakeup.wait(never, long);
  wakeup.call();
  await sleeping;
  const stop = new AbortController();
  const aborted = wakeup.wait(stop.signal, long);
  stop.abort();
  await aborted;
  await wakeup.wait(stop.signal, long);
});
