import assert from 'node:assert/strict';
import { test } from 'node:test';

import { parseDuration } from './duration.ts';

test('a duration is a whole number with a unit', () => {
  assert.deepEqual(
    ['0', '0s', '500ms', '10s', '2m', '1h', '24d'].map(parseDuration),
    [0, 0, 500, 10_000, 120_000, 3_600_000, 2_073_600_000],
  );
});

test('anything else is refused with its text', () => {
  for (const text of ['', '10', 's', '-1s', '1.5s', '1 s', '25d', '99999999999999999999ms', '1S']) {
    assert.throws(
      () => parseDuration(text),
      (error) => error instanceof RangeError && error.message.includes(`"${text}"`),
    );
  }
});
