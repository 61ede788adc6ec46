import assert from 'node:assert/strict';
import { test } from 'node:test';

import { create, fromBinary, toBinary } from '@bufbuild/protobuf';

import { ConnectRequestSchema } from '../../control-plane/gen/weft/v1/directory_pb.ts';
import type { Trouble } from '../../mesh/trouble.ts';
import type { TestAgent, TestController } from './harness.ts';
import { startAgent, startController, until } from './harness.ts';

const noProof: Trouble = { code: 'WEFT-E102', message: 'it cannot be reached' };
const damaged: Trouble = { code: 'WEFT-E111', message: 'it is damaged' };

function toldOf({ troubles }: TestController): string[] {
  return troubles.all().map(({ node, uid, trouble }) => `${node} ${uid} ${trouble.code}`);
}

/** The agent looks every 10 s, and whenever it has something to say. */
function wake(agent: TestAgent): void {
  agent.client.lookUp(`192.0.2.${Math.floor(Math.random() * 250)}`, 1024 + Math.floor(Math.random() * 60_000));
}

test('what pods of a node suffer from is known while its agent is connected, each change of it included', async (t) => {
  const controller = await startController(t);
  controller.shop('n1', 'n2');
  const troubles = new Map([['u-n1', noProof]]);
  const agent = await startAgent(t, 'n1', controller.port, { troubles: () => troubles });
  await until(() => toldOf(controller).join() === 'n1 u-n1 WEFT-E102', 'it is told with the stream');
  await until(() => agent.client.workloads.has('u-n1'), 'the agent knows its workloads');
  agent.client.joined('u-n1');
  troubles.set('u-n1', damaged);
  await until(() => toldOf(controller).join() === 'n1 u-n1 WEFT-E111', 'another takes its place');
  assert.equal(controller.model.workload('u-n1')?.meshed, true, 'it is captured all the same');
  troubles.clear();
  wake(agent);
  await until(() => toldOf(controller).length === 0, 'it is over');
  assert.equal(controller.model.workload('u-n1')?.meshed, true);
  troubles.set('u-n1', damaged);
  wake(agent);
  await until(() => toldOf(controller).length === 1, 'it is there again');
  await agent.stop();
  await until(() => toldOf(controller).length === 0, 'with the stream it is forgotten');
  assert.deepEqual(controller.errors, []);
});

test('a pod that cannot be taken in is not meshed, and one that leaves gets its answer', async (t) => {
  const controller = await startController(t);
  controller.shop('n1');
  const troubles = new Map<string, Trouble>();
  const agent = await startAgent(t, 'n1', controller.port, { troubles: () => troubles });
  await until(() => agent.client.workloads.has('u-n1'), 'the agent knows its workloads');
  troubles.set('u-n1', noProof);
  wake(agent);
  await until(() => toldOf(controller).length === 1, 'it is told');
  assert.equal(controller.model.workload('u-n1')?.meshed, false);
  assert.deepEqual(await agent.client.leave('u-n1'), []);
});

test('an agent has no say about pods of another node once the controller knows whose they are', async (t) => {
  const controller = await startController(t);
  controller.shop('n1', 'n2');
  const troubles = new Map<string, Trouble>();
  const agent = await startAgent(t, 'n1', controller.port, { troubles: () => troubles });
  await until(() => agent.client.workloads.has('u-n1'), 'the agent knows its workloads');
  troubles.set('u-n2', noProof).set('u-n1', noProof);
  wake(agent);
  await until(() => toldOf(controller).length > 0, 'its own is told');
  assert.deepEqual(toldOf(controller), ['n1 u-n1 WEFT-E102']);
});

test('more troubles than a node may have workloads end the stream', async (t) => {
  const controller = await startController(t, { workloadsPerNode: 3 });
  const troubles = new Map(Array.from({ length: 4 }, (_, index) => [`u${index}`, noProof]));
  await startAgent(t, 'n1', controller.port, { troubles: () => troubles });
  await until(() => controller.errors.some(({ code }) => code === 'WEFT-E303'), 'it is refused');
  assert.deepEqual(toldOf(controller), []);
});

test('an older controller reads a report with a trouble as the report that it knows', () => {
  const trouble = create(ConnectRequestSchema, {
    message: { case: 'report', value: { uid: 'u1', meshed: true, trouble: noProof } },
  });
  const plain = create(ConnectRequestSchema, { message: { case: 'report', value: { uid: 'u1', meshed: true } } });
  const [withTrouble, without] = [trouble, plain].map((one) => toBinary(ConnectRequestSchema, one)) as [
    Uint8Array,
    Uint8Array,
  ];
  // All that an older one knows of the message comes first, and what follows is one field that it passes over.
  assert.deepEqual(withTrouble.subarray(2, without.length), without.subarray(2));
  assert.equal((withTrouble[without.length] ?? 0) >> 3, 3);
  const { message } = fromBinary(ConnectRequestSchema, without);
  assert.ok(message.case === 'report' && message.value.trouble === undefined);
});
