import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { TestController, startAgent, startController, until } from './harness.ts';
import { testPod } from '../../mesh/objects-test.ts';

const limits = { unclaimedMs: 200 };
const database = '10.200.0.7';

test('an address that no object has leads outside after a time, until a pod has it', async (t) => {
  const controller = await startController(t, limits);
  const agent = await startAgent(t, 'n1', controller.port);
  const kind = (port: number): string | undefined => agent.destinations.get(`${database}:${port}`)?.kind;
  agent.client.lookUp(database, 5432);
  await until(() => kind(5432) === 'unknown', 'it is unknown at first');
  await until(() => kind(5432) === 'external', "it is nobody's after a time");
  agent.client.lookUp(database, 5433);
  await until(() => kind(5433) === 'external', 'another port of it is known at once');
  assert.equal(agent.news, 3);

  const pod = { kind: 'Pod', value: testPod('u1', { addresses: [database] }) } as const;
  controller.put(pod);
  await until(() => kind(5432) === 'workload' && kind(5433) === 'workload', 'a pod has it');
  controller.model.apply([{ type: 'delete', object: pod }]);
  await until(() => kind(5432) === 'unknown', 'the pod has gone');
  await delay(3 * limits.unclaimedMs);
  assert.equal(kind(5432), 'unknown', "it may be the next pod's");
});

test("nobody's silence means anything while new objects are not heard of", async (t) => {
  let isHeard = false;
  const controller = new TestController(limits, {}, () => isHeard);
  await controller.start();
  t.after(() => controller.close());
  const agent = await startAgent(t, 'n1', controller.port);
  agent.client.lookUp(database, 5432);
  await delay(3 * limits.unclaimedMs);
  assert.equal(agent.destinations.get(`${database}:5432`)?.kind, 'unknown');
  isHeard = true;
  await until(() => agent.destinations.get(`${database}:5432`)?.kind === 'external', 'they are heard of');
});
