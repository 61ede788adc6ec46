import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { clusterTimes } from './reflector-times.ts';
import { RetrySchedule } from './retry-schedule.ts';

test('each wait is within 0.8 and 30 s, whatever chance and the server say', () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  fc.assert(
    fc.property(fc.array(fc.tuple(random, fc.nat(1_000_000)), { maxLength: 2000 }), (draws) => {
      let chance = 0;
      const schedule = new RetrySchedule(clusterTimes.retry, () => chance);
      for (const [draw, retryAfterMs] of draws) {
        chance = draw;
        const wait = schedule.next(retryAfterMs);
        assert.ok(wait >= 800 && wait <= 30_000 && wait >= Math.min(retryAfterMs, 30_000), `${wait}`);
      }
    }),
  );
});

test('waits double until they do not, and begin anew after a success', () => {
  const schedule = new RetrySchedule(clusterTimes.retry, () => 0);
  const waits = Array.from({ length: 7 }, () => schedule.next());
  assert.deepEqual(waits, [800, 1600, 3200, 6400, 12_800, 15_000, 15_000]);
  schedule.succeeded();
  assert.equal(schedule.next(), 800);
});
