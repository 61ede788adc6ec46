import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PodWishes } from './pod-wishes.ts';
import { TestDirectory, workload } from './test-directory.ts';

const skip = 'config.linkerd.io/skip-inbound-ports';

test('of a pod that is listed counts what is said of it, of any other what is said of its namespace', () => {
  const directory = new TestDirectory(
    workload('in', { namespace: 'plain', configuration: { [skip]: '1' } }),
    workload('out', { wanted: false }),
  );
  directory.optIn('shop', { [skip]: '25' });
  const wishes = new PodWishes(directory);
  assert.deepEqual(wishes.of({ uid: 'in', namespace: 'plain' }), { configuration: { [skip]: '1' }, ports: [8080] });
  assert.equal(wishes.of({ uid: 'out', namespace: 'shop' }), undefined);
  assert.deepEqual(wishes.of({ uid: 'new', namespace: 'shop' }), { configuration: { [skip]: '25' }, ports: [] });
  assert.equal(wishes.of({ uid: 'new', namespace: 'plain' }), undefined);
});

test('while the directory knows nothing at all, the namespaces of an earlier agent count', () => {
  const directory = new TestDirectory();
  directory.knowsWorkloads = false;
  const wishes = new PodWishes(directory, ['shop']);
  assert.deepEqual(wishes.of({ uid: 'new', namespace: 'shop' }), { configuration: {}, ports: [] });
  assert.equal(wishes.of({ uid: 'new', namespace: 'plain' }), undefined);
  assert.equal(wishes.optedInNamespaces(), undefined, 'the file that tells of them stays as it is');
  directory.knowsWorkloads = true;
  assert.equal(wishes.of({ uid: 'new', namespace: 'shop' }), undefined, 'it is not opted in any more');
  assert.deepEqual(wishes.optedInNamespaces(), []);
});

test('namespaces are sorted, and every listener hears of news', () => {
  const directory = new TestDirectory();
  const wishes = new PodWishes(directory);
  const heard: unknown[] = [];
  wishes.onChange(() => heard.push(wishes.optedInNamespaces()));
  wishes.onChange(() => heard.push('second'));
  directory.optIn('shop');
  directory.optIn('bank');
  wishes.changed();
  assert.deepEqual(heard, [['bank', 'shop'], 'second']);
});

test('a pod that is not listed yet is waited for, but not for long, and not without a controller', async () => {
  const answerMs = 100;
  const directory = new TestDirectory(workload('known'));
  const wishes = new PodWishes(directory, [], answerMs);
  const timed = async (uid: string): Promise<number> => {
    const begun = performance.now();
    await wishes.untilKnown(uid);
    return performance.now() - begun;
  };
  assert.ok((await timed('known')) < answerMs / 2);
  assert.ok((await timed('never')) >= answerMs - 1);
  const comes = timed('comes');
  wishes.changed(); // news of something else
  directory.workloads.set('comes', workload('comes'));
  wishes.changed();
  assert.ok((await comes) < answerMs / 2);
  directory.isConnected = false;
  assert.ok((await timed('never')) < answerMs / 2);
});

test('the first word of a controller ends the wait for it', async () => {
  const directory = new TestDirectory();
  directory.isCurrent = false;
  const wishes = new PodWishes(directory);
  const begun = performance.now();
  await wishes.untilCurrent(50);
  assert.ok(performance.now() - begun >= 49);
  const current = wishes.untilCurrent(60_000);
  directory.isCurrent = true;
  wishes.changed();
  await current;
});

test('a node that leaves wants no pod in the mesh, whatever the directory says', () => {
  const directory = new TestDirectory(workload('in'));
  directory.optIn('shop');
  const wishes = new PodWishes(directory);
  let news = 0;
  wishes.onChange(() => news++);
  wishes.leave();
  assert.equal(news, 1);
  assert.equal(wishes.of({ uid: 'in', namespace: 'shop' }), undefined);
  assert.equal(wishes.of({ uid: 'new', namespace: 'shop' }), undefined);
  assert.deepEqual(wishes.optedInNamespaces(), []);
});
