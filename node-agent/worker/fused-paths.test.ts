import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { parseAddress } from '../../mesh/address.ts';
import type { ProbeRequest, ProbeResult } from '../../native/engine.d.ts';
import type { Endpoint, Key } from './destinations.ts';
import { FusedConnections } from './fused-connections.ts';
import type { FusedPath } from './fused-paths.ts';
import { FusedPaths } from './fused-paths.ts';
import type { WorkerPod } from './pods.ts';
import { testPod } from './test-connection.ts';

const source = testPod();
const server = testPod({ id: 2, ipv4: parseAddress('10.0.0.8'), identity: 2 });

function endpointOf(pod: WorkerPod, port = 80): Endpoint {
  return { address: pod.ipv4, port, meshed: true, identity: pod.identity, workload: pod.id, localPod: pod.id };
}

class SetUp {
  now = 0;
  readonly paths: FusedPaths;
  readonly probes: [number: number, request: ProbeRequest][] = [];
  readonly settled: Key[] = [];
  readonly revoked: number[] = [];
  readonly connections = new FusedConnections({
    revoke: (connections) => {
      this.revoked.push(...connections);
      for (const connection of connections) this.connections.ended(connection);
    },
  });
  readonly #timers: TestContext['mock']['timers'];

  constructor(t: TestContext) {
    this.#timers = t.mock.timers;
    this.#timers.enable({ apis: ['setInterval'] });
    this.paths = new FusedPaths({
      engine: {
        probe: (number, request) => {
          this.probes.push([number, request]);
        },
      },
      onBlocked: (path) => {
        this.connections.revoke(path);
      },
      onSettled: (key) => {
        this.settled.push(key);
      },
      onClosed: () => undefined,
      now: () => this.now,
    });
    t.after(() => {
      this.paths.close();
    });
  }

  pass(seconds: number): void {
    for (let quarter = 0; quarter < 4 * seconds; quarter++) {
      this.now += 250;
      this.#timers.tick(250);
    }
  }

  find(to = server, port = 80): FusedPath {
    const path = this.paths.find(source, to, endpointOf(to, port));
    assert.ok(path);
    return path;
  }

  /** Of the probe that was started last. */
  answer(result: ProbeResult): void {
    this.paths.probed(this.probes.at(-1)?.[0] ?? 0, result);
  }

  verified(): FusedPath {
    const path = this.find();
    this.paths.verify(path);
    this.answer('passed');
    return this.find();
  }
}

test('who waits for a path to a pod whose address is another one now is decided on anew', async (t) => {
  const set = new SetUp(t);
  const path = set.find();
  set.paths.verify(path);
  const successor = testPod({ id: 3, ipv4: server.ipv4, identity: 3 });
  const next = set.find(successor);
  assert.notEqual(next.key, path.key);
  assert.deepEqual(set.settled, [], 'a decision is being taken');
  await Promise.resolve();
  assert.deepEqual(set.settled, [path.key]);
  set.answer('passed'); // of the probe to the pod before
  assert.equal(next.state, 'unverified');
});

test('a path is verified by one probe, however many wait for it', (t) => {
  const set = new SetUp(t);
  const path = set.find();
  assert.equal(path.state, 'unverified');
  set.paths.verify(path);
  set.paths.verify(set.find());
  assert.deepEqual(set.probes, [
    [1, { pod: 1, address: server.ipv4, port: 80, credentials: 1, expectedName: 2, timeoutMs: 2500 }],
  ]);
  assert.deepEqual(set.settled, []);
  set.answer('passed');
  assert.deepEqual(set.settled, [path.key]);
  assert.equal(set.find().state, 'verified');
  assert.equal(set.find(server, 81).state, 'unverified');
});

test('what fails is refused for a second, then tried anew', (t) => {
  for (const result of ['failed', 'undecided'] as const) {
    const set = new SetUp(t);
    set.paths.verify(set.find());
    set.answer(result);
    assert.equal(set.settled.length, 1);
    assert.equal(set.find().state, 'blocked');
    set.pass(0.75);
    assert.equal(set.find().state, 'blocked');
    set.pass(0.5);
    assert.equal(set.find().state, 'unverified');
    t.mock.timers.reset();
  }
});

test('a path with open connections is probed again and again, one without only when it was used', (t) => {
  const set = new SetUp(t);
  const path = set.verified();
  set.connections.opened(7, path);
  for (let round = 2; round < 6; round++) {
    set.pass(20.25);
    assert.equal(set.probes.length, round);
    set.answer('passed');
  }
  set.connections.ended(7);
  set.pass(20.25);
  assert.equal(set.probes.length, 5, 'nobody has asked for it since');
  assert.equal(set.find().state, 'unverified', 'it is forgotten');
});

test('within 30 s of a policy of the network open connections end and new ones are refused', (t) => {
  const set = new SetUp(t);
  const path = set.verified();
  for (const connection of [7, 8, 9]) set.connections.opened(connection, path);
  set.connections.ended(8);
  const other = set.find(server, 81);
  set.paths.verify(other);
  set.answer('passed');
  set.connections.opened(10, other);
  const began = set.now;

  set.pass(20.25);
  const due = set.probes.slice(2).map(([number]) => number);
  assert.equal(due.length, 2);
  set.paths.probed(due[1] ?? 0, 'passed');
  set.pass(2.5);
  set.paths.probed(due[0] ?? 0, 'failed');
  assert.deepEqual([set.revoked, set.find().state], [[], 'verified'], 'one more try');
  set.pass(2.5);
  set.answer('failed');
  assert.deepEqual([set.revoked, set.find().state], [[7, 9], 'blocked']);
  assert.ok(set.now - began <= 30_000, `${set.now - began} ms`);
  assert.equal(set.find(server, 81).state, 'verified');
});

test('a probe that decides nothing ends nothing, and is repeated soon', (t) => {
  const set = new SetUp(t);
  set.connections.opened(7, set.verified());
  set.pass(20.25);
  for (let round = 0; round < 5; round++) {
    assert.equal(set.probes.length, 2 + round);
    set.answer('undecided');
    set.pass(1);
  }
  assert.deepEqual(set.revoked, []);
  set.answer('failed');
  set.answer('failed');
  assert.deepEqual(set.revoked, [7]);
});

test('paths of a pod that goes are forgotten, and who waits for them is told', (t) => {
  for (const gone of [source.id, server.id]) {
    const set = new SetUp(t);
    const open = set.verified();
    set.connections.opened(7, open);
    const waiting = set.find(server, 81);
    set.paths.verify(waiting);
    set.settled.length = 0;
    set.paths.forgetPod(gone);
    assert.deepEqual(set.settled, [open.key, waiting.key]);
    set.answer('failed');
    set.pass(60);
    assert.deepEqual([set.probes.length, set.revoked], [2, []]);
    set.connections.ended(7);
    assert.equal(set.find().state, 'unverified');
    t.mock.timers.reset();
  }
});

test('an address that another pod has now is another path', (t) => {
  const set = new SetUp(t);
  set.verified();
  const successor = testPod({ id: 3, ipv4: server.ipv4, identity: 3 });
  assert.equal(set.find(successor).state, 'unverified');
});

test('a port that is skipped meanwhile is probed no more: its server has nobody of ours who could answer', (t) => {
  const set = new SetUp(t);
  const configured = testPod({ id: 4, ipv4: server.ipv4 });
  const path = set.find(configured);
  set.paths.verify(path);
  set.answer('passed');
  set.connections.opened(7, path);
  configured.skippedPorts = [[80, 80]];
  set.pass(60);
  assert.deepEqual([set.probes.length, set.revoked], [1, []]);
});

test('there is a bound to what is remembered and to how much is probed at once', (t) => {
  const set = new SetUp(t);
  for (let port = 1; port <= 4096; port++) {
    set.connections.opened(port, set.find(server, port));
    set.paths.verify(set.find(server, port));
    set.answer('passed');
  }
  assert.equal(set.paths.find(source, server, endpointOf(server, 5000)), undefined);
  assert.equal(set.find(server, 17).state, 'verified');
  const before = set.probes.length;
  set.pass(20);
  assert.equal(set.probes.length - before, 64);
  set.pass(20);
  assert.equal(set.probes.length - before, 4096);
});
