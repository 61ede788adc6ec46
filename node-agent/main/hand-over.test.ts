import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { HandOver, askToStandAside } from './hand-over.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-hand-over-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('who follows waits until the one before it has stood aside', async (t) => {
  const runDir = folder(t);
  let isAside = false;
  const first = new HandOver(runDir, async () => {
    await delay(50);
    isAside = true;
    first.close();
  });
  await first.listen();
  assert.equal(statSync(join(runDir, 'main.sock')).mode & 0o777, 0o600);
  await askToStandAside(runDir);
  assert.ok(isAside);

  let asked = 0;
  const second = new HandOver(runDir, () => {
    asked += 1;
    return Promise.resolve();
  });
  await second.listen();
  await askToStandAside(runDir);
  assert.equal(asked, 1, 'the socket is that of the second');
  second.close();
});

test('nobody, a dead one and one that fails are not waited for', async (t) => {
  const runDir = folder(t);
  await askToStandAside(runDir);
  const failing = new HandOver(runDir, () => Promise.reject(new Error('it cannot')));
  await failing.listen();
  await askToStandAside(runDir);
  failing.close();
  await askToStandAside(runDir);
});
