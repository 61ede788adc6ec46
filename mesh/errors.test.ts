import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WeftError, errorCodes } from './errors.ts';

test('every code has a hint and a place in the documentation', () => {
  for (const code of errorCodes) {
    const cause = new Error('why');
    const error = new WeftError(code, 'what', { cause });
    assert.match(code, /^WEFT-E\d{3}$/);
    assert.notEqual(error.hint, '');
    assert.equal(error.documentation, `docs/errors.md#${code.toLowerCase()}`);
    assert.equal(error.cause, cause);
  }
});
