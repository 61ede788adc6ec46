import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { clearNodes } from './clear-nodes.ts';
import { ApiClient } from './sources/kubernetes/api-client.ts';
import { FakeApiServer } from './sources/kubernetes/fake-api-server.ts';

const path = '/apis/apps/v1/namespaces/mesh/daemonsets/weft-agent';
const agents = { kind: 'DaemonSet', metadata: { name: 'weft-agent', namespace: 'mesh' }, spec: { some: 'thing' } };
const present = {
  ...agents,
  metadata: { ...agents.metadata, annotations: { owner: 'helm' }, resourceVersion: '3' },
  spec: {},
};
const told = { metadata: { ...agents.metadata, generation: 7 } };

/** A server that gives these answers, the last one again and again. */
async function serve(t: TestContext, ...answers: readonly { status: number; body: unknown }[]) {
  const server = new FakeApiServer([]);
  const client = new ApiClient(await server.listen());
  t.after(async () => {
    await client.close();
    await server.close();
  });
  const bodies: string[] = [];
  const rest = [...answers];
  server.handlers.set(path, ({ body }) => {
    bodies.push(body);
    return rest.length > 1 ? rest.shift() : rest[0];
  });
  return { client, bodies };
}

function statusOf(observedGeneration: number, wanted: number, updated: number, ready: number): object {
  return {
    ...told,
    status: { observedGeneration, desiredNumberScheduled: wanted, updatedNumberScheduled: updated, numberReady: ready },
  };
}

test('it is done when the agents that were told are ready on all nodes, not when those before them are', async (t) => {
  const { client, bodies } = await serve(
    t,
    { status: 200, body: present },
    { status: 200, body: told },
    { status: 200, body: statusOf(6, 3, 3, 3) },
    { status: 200, body: statusOf(7, 3, 2, 3) },
    { status: 200, body: statusOf(7, 3, 3, 3) },
  );
  assert.equal(await clearNodes({ client, agents, deadlineMs: 10_000 }), undefined);
  assert.equal(bodies.length, 5);
  const metadata = { ...agents.metadata, annotations: { owner: 'helm' } };
  assert.deepEqual(JSON.parse(bodies[1] ?? ''), { ...agents, metadata });
});

test('a node that does not answer is told of', async (t) => {
  const { client } = await serve(
    t,
    { status: 200, body: present },
    { status: 200, body: told },
    { status: 200, body: statusOf(7, 3, 3, 2) },
  );
  const problem = await clearNodes({ client, agents, deadlineMs: 300 });
  assert.equal(problem?.code, 'WEFT-E140');
  assert.match(problem.message, /2 of 3 have: not within 0.3 s/);
});

test('so is a right that is missing', async (t) => {
  const { client } = await serve(t, { status: 403, body: { message: 'not allowed' } });
  const problem = await clearNodes({ client, agents, deadlineMs: 10_000 });
  assert.match(problem?.message ?? '', /have not been told: .*403: not allowed/);
});
