import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { create } from '@bufbuild/protobuf';
import { ConnectError, createClient } from '@connectrpc/connect';

import type { ConnectRequest } from '../../control-plane/gen/weft/v1/directory_pb.ts';
import { ConnectRequestSchema, Directory } from '../../control-plane/gen/weft/v1/directory_pb.ts';
import { testPod, testSlice } from '../../mesh/objects-test.ts';
import { WeftError } from '../../mesh/errors.ts';
import { IdentityClient, createControllerTransport } from '../../node-agent/main/directory/controller.ts';
import { TestController, startAgent, startController, until } from './harness.ts';

const never = new AbortController().signal;

test('an agent gets its own workloads and what it asks for, and then each change', async (t) => {
  const controller = await startController(t);
  controller.shop('n1', 'n2');
  const agent = await startAgent(t, 'n1', controller.port);
  assert.equal(agent.client.lookUp('10.1.1.1', 80), undefined);
  agent.client.lookUp('192.0.2.1', 443);
  await until(() => agent.destinations.get('192.0.2.1:443')?.kind === 'external', 'an outside address is answered');
  agent.client.lookUp('10.96.0.1', 80);
  await until(() => agent.destinations.has('10.96.0.1:80'), 'the service is answered');
  assert.deepEqual([...agent.client.workloads.keys()], ['u-n1']);
  assert.equal(agent.client.workloads.get('u-n1')?.identity, 'default.shop.test');
  assert.equal(agent.meshed('u-n1'), false);
  assert.equal(agent.meshed('u-n2'), undefined, 'nobody has reported it');
  assert.equal(agent.client.lookUp('10.1.1.1', 80)?.kind, 'unknown');

  controller.put({ kind: 'EndpointSlice', value: testSlice('web', ['10.0.2.1']) });
  await until(() => {
    const found = agent.destinations.get('10.96.0.1:80');
    return found?.kind === 'service' && found.endpoints.size === 1;
  }, 'the removed endpoint goes');
  controller.put({ kind: 'Pod', value: testPod('u3', { addresses: ['10.1.1.1'] }) });
  await until(() => agent.destinations.get('10.1.1.1:80')?.kind === 'workload', 'the unknown address becomes known');
  await until(() => agent.client.workloads.has('u3'), 'the new workload of the node comes');
});

test('a workload that leaves is announced, and its agent hears when all have acknowledged', async (t) => {
  const controller = await startController(t, { leaveMs: 400 });
  controller.shop('n1', 'n2');
  const [first, second] = [await startAgent(t, 'n1', controller.port), await startAgent(t, 'n2', controller.port)];
  second.client.lookUp('10.96.0.1', 80);
  first.client.joined('u-n1');
  await until(() => second.meshed('u-n1') === true, 'the other agent knows that it is meshed');
  assert.deepEqual(await first.client.leave('u-n1'), []);
  assert.equal(second.meshed('u-n1'), false, 'all knew it when the answer came');
  first.client.joined('u-n1');
  await until(() => second.meshed('u-n1') === true, 'it is meshed again');
  await second.stop();
  const begun = performance.now();
  assert.deepEqual(await first.client.leave('u-n1'), ['n2'], 'an agent that is away may still believe it');
  assert.ok(performance.now() - begun >= 390);
});

test('an agent cannot make a workload of another node meshed', async (t) => {
  const controller = await startController(t);
  controller.shop('n1', 'n2');
  const agent = await startAgent(t, 'n1', controller.port);
  await startAgent(t, 'n2', controller.port);
  agent.client.lookUp('10.96.0.1', 80);
  agent.client.joined('u-n2');
  agent.client.joined('u-n1');
  await until(() => agent.meshed('u-n1') === true && agent.meshed('u-n2') === false, 'only the own one is meshed');
});

test('an agent cannot break off the departure of a workload of another node', async (t) => {
  const controller = await startController(t, { leaveMs: 400 });
  controller.shop('n1', 'n2');
  const [first, second] = [await startAgent(t, 'n1', controller.port), await startAgent(t, 'n2', controller.port)];
  const believer = await startAgent(t, 'n3', controller.port);
  believer.client.lookUp('10.96.0.1', 80);
  first.client.joined('u-n1');
  await until(() => believer.meshed('u-n1') === true, 'the workload is meshed');
  await believer.stop();
  const left = first.client.leave('u-n1');
  await delay(100);
  second.client.joined('u-n1');
  assert.deepEqual(await left, ['n3'], 'its agent hears of the deadline all the same');
  assert.deepEqual(await second.client.leave('u-n1'), []);
});

test('an agent that reports without end and reads nothing ends its own stream, at a bound', async (t) => {
  const controller = await startController(t, { workloadsPerNode: 100 });
  let reported = 0;
  const requests = async function* (): AsyncGenerator<ConnectRequest> {
    yield create(ConnectRequestSchema, { message: { case: 'hello', value: { node: 'n1' } } });
    for (; reported < 100_000; reported++) {
      const value = { uid: `stranger-${reported}`, meshed: false };
      yield create(ConnectRequestSchema, { message: { case: 'report', value } });
      if (reported % 100 === 0) await delay(0);
    }
    await delay(5000);
  };
  const responses = controller.directory.connect('n1', requests(), never);
  assert.equal((await responses.next()).done, false);
  await delay(200);
  assert.ok(reported <= 200, `${reported} reports were taken`);
  await assert.rejects(
    async () => {
      for (let i = 0; i < 1000; i++) await responses.next();
    },
    { code: 'WEFT-E303' },
  );
});

test('a controller that comes back knows nothing, and nobody forgets who is meshed', async (t) => {
  const before = await new TestController().start();
  before.shop('n1', 'n2');
  const agent = await startAgent(t, 'n1', before.port);
  const other = await startAgent(t, 'n2', before.port);
  agent.client.lookUp('10.96.0.1', 80);
  other.client.joined('u-n2');
  await until(() => agent.meshed('u-n2') === true, 'the peer is meshed');
  await other.stop();
  await before.close();
  await until(() => !agent.client.isConnected && agent.problems.length > 0, 'the loss is told');
  assert.ok(agent.problems[0] instanceof WeftError);

  const after = new TestController();
  t.after(() => after.close());
  after.shop('n1', 'n2', 'n3');
  await after.start(before.port);
  await until(() => {
    const found = agent.destinations.get('10.96.0.1:80');
    return found?.kind === 'service' && found.endpoints.size === 3;
  }, 'the new endpoint comes from the new controller');
  assert.equal(agent.meshed('u-n2'), true, 'its agent has not said otherwise');
  assert.equal(agent.meshed('u-n3'), undefined);
});

test('an agent that comes back gets only what has changed', async (t) => {
  const controller = await startController(t);
  controller.shop('n1', 'n2');
  const first = await startAgent(t, 'n1', controller.port);
  first.client.lookUp('10.96.0.1', 80);
  first.client.lookUp('10.0.2.1', 80);
  await until(() => first.destinations.size === 2, 'both are answered');
  await first.stop();
  const second = await startAgent(t, 'n1', controller.port, {}, first.cachePath);
  assert.equal(second.news, 2, 'the cache tells both');
  await until(() => second.client.isConnected, 'it is connected again');
  controller.put({ kind: 'EndpointSlice', value: testSlice('web', ['10.0.1.1']) });
  await until(() => second.news === 3, 'the change comes');
  await delay(100);
  assert.equal(second.news, 3, 'and nothing else');
});

test('an agent without a controller serves what it knew', async (t) => {
  const controller = await new TestController().start();
  controller.shop('n1');
  const first = await startAgent(t, 'n1', controller.port);
  first.client.lookUp('10.96.0.1', 80);
  await until(() => first.destinations.has('10.96.0.1:80'), 'the service is answered');
  await first.stop();
  await controller.close();
  const second = await startAgent(t, 'n1', controller.port, {}, first.cachePath);
  const known = second.client.lookUp('10.96.0.1', 80);
  assert.ok(known?.kind === 'service');
  assert.equal(known.endpoints.get('10.0.1.1:8080')?.workload?.uid, 'u-n1');
  assert.deepEqual([...second.client.workloads.keys()], ['u-n1']);
  assert.equal(second.client.lookUp('10.0.7.7', 80), undefined);
  await delay(200);
  assert.equal(second.client.lookUp('10.0.7.7', 80), undefined, 'of what it did not know it learns nothing');
});

test('destinations that nobody uses are dropped on both sides', async (t) => {
  const controller = await startController(t);
  controller.shop('n1');
  const agent = await startAgent(t, 'n1', controller.port, { limits: { destinations: 3 } });
  for (let port = 1; port <= 20; port++) agent.client.lookUp('10.96.0.1', port);
  await until(() => agent.destinations.has('10.96.0.1:20'), 'the last is answered');
  assert.equal(agent.client.destinationCount, 3);
});

async function* send(requests: readonly ConnectRequest[], open: AbortSignal): AsyncGenerator<ConnectRequest> {
  yield* requests;
  await new Promise((resolve) => {
    open.addEventListener('abort', resolve);
  });
}

const hello = (node: string): ConnectRequest =>
  create(ConnectRequestSchema, { message: { case: 'hello', value: { node } } });
const subscribe = (address: string, port: number): ConnectRequest =>
  create(ConnectRequestSchema, { message: { case: 'subscribe', value: { subscriptions: [{ address, port }] } } });

/** Reads to the end and returns the stable code of the error that ends the stream. */
async function refusal(port: number, token: string | undefined, requests: ConnectRequest[]): Promise<unknown> {
  const client = createClient(Directory, createControllerTransport({ url: `http://127.0.0.1:${port}` }));
  const stop = AbortSignal.timeout(5000);
  const headers: Record<string, string> = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    await Array.fromAsync(client.connect(send(requests, stop), { headers, signal: stop }));
    return 'ended';
  } catch (error) {
    return ConnectError.from(error).metadata.get('weft-error') ?? error;
  }
}

test('each refusal has its code', async (t) => {
  const controller = await startController(t, { helloMs: 100, acknowledgeMs: 300, subscriptionsPerNode: 2 });
  controller.shop('n1');
  const { port } = controller;
  assert.equal(await refusal(port, undefined, [hello('n1')]), 'WEFT-E301');
  assert.equal(await refusal(port, 'forged', [hello('n1')]), 'WEFT-E301');
  assert.equal(await refusal(port, 'token-of-n2', [hello('n1')]), 'WEFT-E302');
  assert.equal(await refusal(port, 'token-of-n1', [subscribe('10.0.0.1', 80)]), 'WEFT-E303');
  assert.equal(await refusal(port, 'token-of-n1', []), 'WEFT-E303');
  assert.equal(await refusal(port, 'token-of-n1', [hello('n1'), hello('n1')]), 'WEFT-E303');
  assert.equal(await refusal(port, 'token-of-n1', [hello('n1'), subscribe('nonsense', 80)]), 'WEFT-E303');
  const many = [1, 2, 3].map((number) => subscribe('10.0.0.1', number));
  assert.equal(await refusal(port, 'token-of-n1', [hello('n1'), ...many]), 'WEFT-E303');
  assert.equal(await refusal(port, 'token-of-n1', [hello('n1')]), 'WEFT-E304', 'it never acknowledges');
  const replaced = refusal(port, 'token-of-n1', [hello('n1')]);
  await delay(50);
  await Promise.all([
    refusal(port, 'token-of-n1', [hello('n1')]),
    replaced.then((code) => assert.equal(code, 'WEFT-E305')),
  ]);
});

test('an agent that does not read gets a bounded number of updates, and all that counts once it does', async (t) => {
  const controller = await startController(t, { coalesceMs: 1, unacknowledgedUpdates: 4 });
  controller.shop('n1');
  const client = createClient(Directory, createControllerTransport({ url: `http://127.0.0.1:${controller.port}` }));
  const stop = new AbortController();
  t.after(() => stop.abort());
  const headers = { authorization: 'Bearer token-of-n1' };
  let acknowledge: (version: bigint) => void = () => undefined;
  async function* requests(): AsyncGenerator<ConnectRequest> {
    yield hello('n1');
    yield subscribe('10.96.0.1', 80);
    while (!stop.signal.aborted) {
      const version = await new Promise<bigint>((resolve) => (acknowledge = resolve));
      yield create(ConnectRequestSchema, { message: { case: 'acknowledge', value: { version } } });
    }
  }
  let updates = 0;
  const versions: bigint[] = [];
  const present = new Set<string>();
  const reading = (async () => {
    for await (const { message } of client.connect(requests(), { headers, signal: stop.signal })) {
      if (message.case !== 'update') continue;
      updates++;
      versions.push(message.value.version);
      for (const delta of message.value.destinations) {
        if (delta.full) present.clear();
        for (const { address } of delta.removedEndpoints) present.delete(address);
        for (const { address } of delta.upserts) present.add(address);
      }
    }
  })().catch(() => undefined);
  await until(() => updates > 0, 'the first update comes');
  for (let round = 1; round <= 3000; round++) {
    controller.put({ kind: 'EndpointSlice', value: testSlice('web', [`10.2.${round >> 8}.${round & 255}`]) });
    if (round % 100 === 0) await delay(2);
  }
  await delay(200);
  assert.ok(updates <= 4, `${updates} updates without an acknowledgement`);
  acknowledge(versions.at(-1) ?? 0n);
  await until(
    () => present.size === 1 && present.has(`10.2.${3000 >> 8}.${3000 & 255}`),
    'only the last endpoint is left',
  );
  stop.abort();
  await reading;
});

test('certificates go through as they are, and a refusal with its code', async (t) => {
  const notAfter = new Date('2027-01-02T03:04:05.006Z');
  const controller = await startController(
    t,
    {},
    {
      certify: ({ token, csr }) =>
        Promise.resolve(
          token === 'good'
            ? { chain: [csr, Uint8Array.of(2)], anchors: [Uint8Array.of(3)], notAfter }
            : new WeftError('WEFT-E302', 'not for this node'),
        ),
    },
  );
  const client = new IdentityClient(createControllerTransport({ url: `http://127.0.0.1:${controller.port}` }));
  const issued = await client.certify('good', Uint8Array.of(1), never);
  assert.deepEqual(issued, {
    chain: [Uint8Array.of(1), Uint8Array.of(2)],
    anchors: [Uint8Array.of(3)],
    notAfter,
  });
  const refused = await client.certify('bad', Uint8Array.of(1), never);
  assert.ok(refused instanceof WeftError && refused.code === 'WEFT-E302');
  assert.equal(controller.errors.length, 1);
});
