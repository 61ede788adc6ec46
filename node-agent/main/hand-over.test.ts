import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { HandOver, askToLeave, askToStandAside } from './hand-over.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'weft-hand-over-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}

test('who follows waits until the one before it has stood aside', async (t) => {
  const runDir = folder(t);
  let isAside = false;
  const first = new HandOver({
    runDir,
    request: 'main',
    serve: async () => {
      await delay(50);
      isAside = true;
      first.close();
    },
  });
  await first.listen();
  assert.equal(statSync(join(runDir, 'main.sock')).mode & 0o777, 0o600);
  await askToStandAside(runDir);
  assert.ok(isAside);

  let asked = 0;
  const second = new HandOver({
    runDir,
    request: 'main',
    serve: () => {
      asked += 1;
      return Promise.resolve();
    },
  });
  await second.listen();
  await askToStandAside(runDir);
  assert.equal(asked, 1, 'the socket is that of the second');
  second.close();
});

test('nobody, a dead one and one that fails are not waited for', async (t) => {
  const runDir = folder(t);
  await askToStandAside(runDir);
  const failing = new HandOver({
    runDir,
    request: 'main',
    serve: () => Promise.reject(new Error('it cannot')),
  });
  await failing.listen();
  await askToStandAside(runDir);
  failing.close();
  await askToStandAside(runDir);
});

test('who was asked to leave hears that whoever asked is gone', async (t) => {
  const runDir = folder(t);
  let hasLeft = false;
  const gone = Promise.withResolvers<void>();
  const leaving = new HandOver({
    runDir,
    request: 'leave',
    serve: async () => {
      await delay(50);
      hasLeft = true;
    },
    onGone: gone.resolve,
  });
  await leaving.listen();
  const letGo = await askToLeave(runDir, 5000);
  assert.ok(hasLeft);
  assert.equal(await Promise.race([gone.promise, delay(50, 'it waits')]), 'it waits');
  letGo();
  await gone.promise;
  leaving.close();
});

test('who does not leave in time is not waited for any longer', async (t) => {
  const runDir = folder(t);
  const never = Promise.withResolvers<void>();
  const gone = Promise.withResolvers<void>();
  const leaving = new HandOver({ runDir, request: 'leave', serve: () => never.promise, onGone: gone.resolve });
  await leaving.listen();
  const letGo = await askToLeave(runDir, 50);
  letGo();
  await gone.promise;
  leaving.close();
});
