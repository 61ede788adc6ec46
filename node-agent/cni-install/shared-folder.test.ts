import assert from 'node:assert/strict';
import { mkdtempSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync, closeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { SharedFolder } from './shared-folder.ts';
import { exchangeFiles } from './test-installer.ts';

/** Of the clock that files are dated by. */
const longerThanTickMs = 30;

test('what was half written when it was displaced is older than what came after it, however it ended', (t) => {
  const path = mkdtempSync(join(tmpdir(), 'weft-shared-'));
  t.after(() => {
    rmSync(path, { recursive: true });
  });
  const file = join(path, 'a');
  writeFileSync(file, 'first');
  let writer = -1;
  let exchanges = 0;
  const folder = new SharedFolder(path, (one, other) => {
    exchanges += 1;
    if (exchanges === 1) {
      writer = openSync(file, 'w');
      writeSync(writer, 'sec');
    } else if (exchanges === 2) {
      writeSync(writer, 'ond');
      closeSync(writer);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, longerThanTickMs);
      writeFileSync(file, 'third');
    }
    exchangeFiles(one, other);
  });
  const expected = folder.read('a');
  assert.ok(expected);
  assert.equal(folder.replace('a', expected, 'ours'), false);
  assert.equal(readFileSync(file, 'utf8'), 'third');
  assert.deepEqual(readdirSync(path), ['a']);
});
