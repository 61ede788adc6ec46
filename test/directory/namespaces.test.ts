import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';

import { ManifestSource } from '../../control-plane/sources/manifests.ts';
import type { SourceObject } from '../../mesh/objects.ts';
import { testNamespace, testPod } from '../../mesh/objects-test.ts';
import { PodWishes } from '../../node-agent/main/pod-wishes.ts';
import type { TestAgent } from './harness.ts';
import { TestController, cacheFile, startAgent, startController, until } from './harness.ts';

const skip = 'config.linkerd.io/skip-inbound-ports';
const enabled = { 'weft.dev/mesh': 'enabled' };

const namespace = (name: string, labels = {}, annotations = {}): SourceObject => ({
  kind: 'Namespace',
  value: testNamespace(name, { labels, annotations }),
});
const known = ({ client }: TestAgent): string => [...client.namespaces.keys()].sort().join();

test('an agent gets the namespaces that are opted in, and then each change, also where no pod is', async (t) => {
  const controller = await startController(t);
  controller.put(namespace('shop', enabled, { [skip]: '25', note: 'of ours' }), namespace('plain'));
  const agent = await startAgent(t, 'n1', controller.port);
  assert.ok(!agent.client.knowsWorkloads && !agent.client.isCurrent);
  await until(() => agent.client.isCurrent, 'the first news come');
  assert.deepEqual([...agent.client.namespaces.values()], [{ name: 'shop', configuration: { [skip]: '25' } }]);

  controller.put(namespace('plain', enabled));
  await until(() => known(agent) === 'plain,shop', 'a label is news');
  controller.put(namespace('shop', enabled, { [skip]: '26' }));
  await until(() => agent.client.namespaces.get('shop')?.configuration[skip] === '26', 'an annotation is news');
  controller.put(namespace('shop'));
  await until(() => known(agent) === 'plain', 'one that is not opted in any more goes');
  controller.model.apply([{ type: 'delete', object: namespace('plain', enabled) }]);
  await until(() => known(agent) === '', 'one that is deleted goes');
});

test('an agent that was away gets what it missed; its cache serves without a controller', async (t) => {
  const controller = await startController(t);
  controller.put(...['bank', 'shop'].map((name) => namespace(name, enabled)));
  const first = await startAgent(t, 'n1', controller.port);
  await until(() => known(first) === 'bank,shop', 'both are told');
  await first.stop();
  controller.put(namespace('shop'), namespace('new', enabled));
  const second = await startAgent(t, 'n1', controller.port, {}, first.cachePath);
  assert.equal(known(second), 'bank,shop', 'what the cache says');
  assert.ok(second.client.knowsWorkloads && !second.client.isCurrent);
  await until(() => known(second) === 'bank,new', 'what has changed meanwhile');
  await second.stop();

  let news = 0;
  const third = await startAgent(t, 'n1', controller.port, { onWorkloads: () => news++ }, first.cachePath);
  await until(() => third.client.isCurrent, 'it hears that nothing has changed');
  assert.equal(known(third), 'bank,new');
  assert.equal(news, 2, 'once of the cache, once of the controller');
  await third.stop();

  await controller.close();
  const alone = await startAgent(t, 'n1', controller.port, {}, first.cachePath);
  assert.equal(known(alone), 'bank,new');
  await until(() => alone.problems.length > 0, 'there is no controller');
  assert.ok(alone.client.knowsWorkloads && !alone.client.isCurrent);
});

test('what a controller that comes back does not list is gone', async (t) => {
  const before = await new TestController().start();
  before.shop('n1');
  before.put(namespace('bank', enabled));
  const agent = await startAgent(t, 'n1', before.port);
  await until(() => known(agent) === 'bank,shop' && agent.client.workloads.has('u-n1'), 'all is told');
  await before.close();
  const after = new TestController();
  t.after(() => after.close());
  after.put(namespace('shop', enabled));
  await after.start(before.port);
  await until(() => known(agent) === 'shop', 'the other namespace is gone');
  assert.equal(agent.client.workloads.size, 0, 'so is the pod');
});

test('an agent that never reached a controller knows nothing, nor does the next one by its cache', async (t) => {
  const controller = await new TestController().start();
  await controller.close();
  const first = await startAgent(t, 'n1', controller.port);
  await until(() => first.problems.length > 0, 'there is no controller');
  await first.stop();
  const second = await startAgent(t, 'n1', controller.port, {}, first.cachePath);
  assert.ok(!second.client.knowsWorkloads);
});

test('what a manifest says of a pod or a namespace counts on its node within 100 ms, as a rule', async (t) => {
  const folder = join(dirname(cacheFile(t)), 'manifests');
  mkdirSync(folder);
  const controller = new TestController();
  const source = new ManifestSource(folder);
  source.onDeltas((deltas) => {
    controller.model.apply(deltas);
  });
  const stop = new AbortController();
  t.after(() => stop.abort());
  t.after(() => controller.close());
  await source.start(stop.signal);
  await controller.start();
  const agent: TestAgent = await startAgent(t, 'n1', controller.port, {
    onWorkloads: () => {
      wishes.changed();
    },
  });
  const wishes = new PodWishes(agent.client);
  await wishes.untilCurrent(8000);
  assert.ok(wishes.isCurrent, 'also where there is nothing to tell');

  const write = (wanted: boolean): void => {
    const label = wanted ? 'enabled' : 'disabled';
    const { uid, name } = testPod('u1');
    writeFileSync(
      join(folder, 'all.yaml'),
      [
        `kind: Namespace\nmetadata: { name: shop, labels: { weft.dev/mesh: ${label} } }\n`,
        `kind: Pod\nmetadata: { uid: ${uid}, name: ${name}, namespace: shop }\nspec: { nodeName: n1 }\n`,
      ].join('---\n'),
    );
  };
  const pod = { uid: 'u1', namespace: 'shop' };
  const later = { uid: 'u2', namespace: 'shop' };
  const took: number[] = [];
  for (let round = 0; round < 20; round++) {
    const wanted = round % 2 === 0;
    const begun = performance.now();
    write(wanted);
    await until(
      () => (wishes.of(pod) !== undefined) === wanted && (wishes.of(later) !== undefined) === wanted,
      `round ${round}`,
    );
    took.push(performance.now() - begun);
  }
  const [fastest = 0, median = NaN, slowest = 0] = [0, 10, 19].map((index) => took.sort((a, b) => a - b)[index]);
  t.diagnostic(`${fastest.toFixed(0)} to ${slowest.toFixed(0)} ms, median ${median.toFixed(0)} ms`);
  assert.ok(median < 100, `median ${median} ms`);
  assert.deepEqual(wishes.optedInNamespaces(), []);
});
