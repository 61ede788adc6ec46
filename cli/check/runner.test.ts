import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WeftError } from '../../mesh/errors.ts';
import type { Cluster } from '../cluster/cluster.ts';
import { Facts } from '../cluster/facts.ts';
import type { Category, Check } from './check.ts';
import { listed } from './check.ts';
import { hasSucceeded, runChecks } from './runner.ts';

const facts = () => new Facts(() => ({ close: () => Promise.resolve() }) as unknown as Cluster, 'weft-system');
const signal = () => AbortSignal.timeout(10_000);

function check(id: string, changed: Partial<Check>): Check {
  return { id, description: id, severity: 'error', hint: 'h', run: () => Promise.resolve(undefined), ...changed };
}

function category(...checks: readonly Check[]): Category {
  return { id: 'category', checks };
}

const says = (problem: string) => ({ run: () => Promise.resolve(problem) });

test('a warning does not fail the run, an error does and the run goes on, after a fatal one nothing is run', async () => {
  const run = (...checks: readonly Check[]) =>
    runChecks([category(...checks)], facts(), { waitMs: 0, signal: signal() });
  const warned = await run(check('a', { severity: 'warning', ...says('w') }), check('b', {}));
  assert.deepEqual(
    warned.map(({ result }) => result),
    ['warning', 'success'],
  );
  assert.equal(hasSucceeded(warned), true);
  const failed = await run(check('a', says('e')), check('b', {}));
  assert.deepEqual(
    failed.map(({ result }) => result),
    ['error', 'success'],
  );
  assert.equal(hasSucceeded(failed), false);
  const ended = await run(check('a', { severity: 'fatal', ...says('f') }), check('b', {}));
  assert.deepEqual(
    ended.map(({ check: { id }, result }) => [id, result]),
    [['a', 'error']],
  );
});

test('what may still be starting is tried again, with nothing of what was known before', async () => {
  let asked = 0;
  const kept = facts();
  const waits: string[] = [];
  const becomesGreen = check('a', {
    isRetried: true,
    run: async (given) => ((await given.get('/x', signal())) === undefined ? 'not yet' : undefined),
  });
  const cluster = { get: () => Promise.resolve(++asked < 3 ? undefined : { metadata: { name: 'x' } }) };
  Object.defineProperty(kept, 'cluster', { value: cluster });
  const results = await runChecks([category(becomesGreen)], kept, {
    waitMs: 5000,
    retryMs: 1,
    signal: signal(),
    onWait: (_, problem) => waits.push(problem),
  });
  assert.deepEqual(
    results.map(({ result }) => result),
    ['success'],
  );
  assert.deepEqual([asked, waits], [3, ['not yet', 'not yet']]);
});

test('waiting ends at the deadline of the whole run, and only what may be tried again is', async () => {
  const attempts = { once: 0, again: 0 };
  const count = (name: keyof typeof attempts) => () => Promise.resolve(`attempt ${++attempts[name]}`);
  const started = performance.now();
  const results = await runChecks(
    [
      category(
        check('once', { run: count('once') }),
        check('again', { isRetried: true, run: count('again') }),
        check('late', { isRetried: true, run: count('once') }),
      ),
    ],
    facts(),
    { waitMs: 200, retryMs: 20, signal: signal() },
  );
  assert.deepEqual(
    results.map(({ result }) => result),
    ['error', 'error', 'error'],
  );
  assert.equal(attempts.once, 2);
  assert.ok(attempts.again > 2 && performance.now() - started < 2000, `${attempts.again} attempts`);
});

test('what a check cannot find out is wrong, with its code; a defect is no result', async () => {
  const failing = (error: Error) => category(check('a', { run: () => Promise.reject(error) }));
  const options = { waitMs: 0, signal: signal() };
  const [result] = await runChecks([failing(new WeftError('WEFT-E403', 'no answer'))], facts(), options);
  assert.deepEqual([result?.result, result?.problem], ['error', 'WEFT-E403 no answer']);
  await assert.rejects(runChecks([failing(new TypeError('a defect'))], facts(), options), /a defect/);
});

test('somebody who ends the command ends a wait', async () => {
  const end = new AbortController();
  const run = runChecks([category(check('a', { isRetried: true, ...says('no') }))], facts(), {
    waitMs: 60_000,
    signal: end.signal,
    onWait: () => end.abort(),
  });
  await assert.rejects(run, { name: 'AbortError' });
});

test('of many problems the first are told, and how many there are', () => {
  assert.equal(listed([]), undefined);
  assert.equal(listed(['a', 'b']), 'a\nb');
  assert.equal(listed(['1', '2', '3', '4', '5', '6', '7']), '1\n2\n3\n4\n5\nand 2 more');
});
