import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { WeftError } from '../../mesh/errors.ts';
import { ApiClient } from '../sources/kubernetes/api-client.ts';
import type { Fault } from '../sources/kubernetes/fake-api-server.ts';
import { FakeApiServer } from '../sources/kubernetes/fake-api-server.ts';
import type { LeaseObject } from './fake-lease.ts';
import { FakeLease } from './fake-lease.ts';
import type { ElectionTimes, LeaderElectionOptions } from './leader-election.ts';
import { LeaderElection } from './leader-election.ts';

const times: ElectionTimes = { leaseSeconds: 1, renewMs: 500, retryMs: 50 };
const leaseMs = 1000;
const hourMs = 3_600_000;

class Replica {
  readonly election: LeaderElection;
  readonly problems: WeftError[] = [];
  readonly holders: string[] = [];
  /** Begin and end of each, by the clock of all. */
  readonly terms: { readonly begun: number; ended: number }[] = [];
  readonly client: ApiClient;
  #stop = new AbortController();
  #run: Promise<void> = Promise.resolve();

  constructor(client: ApiClient, lease: FakeLease, identity: string, options: Partial<LeaderElectionOptions> = {}) {
    this.client = client;
    this.election = new LeaderElection({
      ...lease.place,
      client,
      identity,
      onHolder: (holder) => this.holders.push(holder),
      onProblem: (problem) => this.problems.push(problem),
      times,
      ...options,
    });
  }

  start(): this {
    this.#run = this.election.run(async (signal) => {
      const term = { begun: performance.now(), ended: Infinity };
      this.terms.push(term);
      assert.ok(this.election.isLeader);
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      term.ended = performance.now();
    }, this.#stop.signal);
    return this;
  }

  /** In peace. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#run;
  }
}

interface Setting {
  readonly server: FakeApiServer;
  readonly lease: FakeLease;
  readonly replica: (identity: string, options?: Partial<LeaderElectionOptions>) => Replica;
}

async function setUp(t: TestContext): Promise<Setting> {
  const server = new FakeApiServer([]);
  const lease = new FakeLease(server);
  const access = await server.listen();
  const replicas: Replica[] = [];
  t.after(async () => {
    server.heal();
    await Promise.all(replicas.map((replica) => replica.stop()));
    await Promise.all(replicas.map(({ client }) => client.close()));
    await server.close().catch(() => undefined);
  });
  const replica = (identity: string, options: Partial<LeaderElectionOptions> = {}): Replica => {
    const made = new Replica(new ApiClient(access), lease, identity, options);
    replicas.push(made);
    return made.start();
  };
  return { server, lease, replica };
}

async function until(isTrue: () => boolean, what: string, deadlineMs = 5000): Promise<number> {
  const begun = performance.now();
  while (!isTrue()) {
    assert.ok(performance.now() - begun < deadlineMs, `not within ${deadlineMs} ms: ${what}`);
    await delay(5);
  }
  return performance.now() - begun;
}

const leads =
  ({ election }: Replica) =>
  (): boolean =>
    election.isLeader;

test('the first that comes leads, and writes what kubectl and other clients read', async (t) => {
  const { lease, replica } = await setUp(t);
  const [a, b] = [replica('a'), replica('b')];
  await until(() => a.election.isLeader || b.election.isLeader, 'somebody leads');
  const written = (): LeaseObject => lease.object ?? assert.fail('there is no Lease');
  const { spec, metadata } = written();
  const { acquireTime, renewTime, ...rest } = spec ?? {};
  assert.deepEqual(rest, {
    holderIdentity: a.election.isLeader ? 'a' : 'b',
    leaseDurationSeconds: 1,
    leaseTransitions: 0,
  });
  for (const time of [acquireTime, renewTime]) assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.deepEqual([metadata.name, metadata['namespace']], ['weft-controller', 'mesh']);
  await delay(2 * leaseMs);
  assert.equal(a.terms.length + b.terms.length, 1, 'and goes on to lead');
  assert.equal(written().spec?.['acquireTime'], acquireTime);
  assert.notEqual(written().spec?.['renewTime'], renewTime);
  assert.deepEqual([a.holders.at(-1), b.holders.at(-1)], [rest['holderIdentity'], rest['holderIdentity']]);
  assert.deepEqual([...a.problems, ...b.problems], []);
});

test('who ends in peace gives it up once its work has ended, and the next one leads at once', async (t) => {
  const { lease, replica } = await setUp(t);
  lease.set({ metadata: { name: 'weft-controller', labels: { 'app.kubernetes.io/part-of': 'weft' } } });
  const a = replica('a');
  await until(leads(a), 'a leads');
  const b = replica('b');
  await until(() => b.holders.includes('a'), 'b knows');
  let endedFirst = false;
  lease.onWrite = () => (endedFirst ||= lease.writes.at(-1) === '' && Number.isFinite(a.terms[0]?.ended));
  await a.stop();
  assert.ok(endedFirst);
  assert.equal(a.election.isLeader, false);
  const took = await until(leads(b), 'b leads');
  assert.ok(took < leaseMs / 2, String(took));
  assert.equal(lease.object?.spec?.['leaseTransitions'], 1);
  assert.deepEqual(
    lease.object.metadata['labels'],
    { 'app.kubernetes.io/part-of': 'weft' },
    'the rest stays as it was',
  );
});

test('after a leader that is gone without a word another one leads when the Lease is over, not before', async (t) => {
  const { lease, replica } = await setUp(t);
  lease.set({
    metadata: { name: 'weft-controller' },
    spec: { holderIdentity: 'gone', leaseDurationSeconds: 1, leaseTransitions: 7, acquireTime: 'then' },
  });
  const b = replica('b');
  const took = await until(leads(b), 'b leads');
  assert.ok(took >= leaseMs && took < leaseMs + 500, String(took));
  const { leaseTransitions, acquireTime } = lease.object?.spec ?? {};
  assert.equal(leaseTransitions, 8);
  assert.notEqual(acquireTime, 'then');
});

test('clocks that differ by hours do no harm', async (t) => {
  const { replica } = await setUp(t);
  const behind = replica('behind', { now: () => Date.now() - 3 * hourMs });
  await until(leads(behind), 'the one that is behind leads');
  const ahead = replica('ahead', { now: () => Date.now() + 3 * hourMs });
  await delay(2 * leaseMs);
  assert.deepEqual([behind.terms.length, ahead.terms.length], [1, 0]);
  await behind.stop();
  await until(leads(ahead), 'the one that is ahead leads');
  const third = replica('third');
  await delay(2 * leaseMs);
  assert.deepEqual([ahead.terms.length, third.terms.length], [1, 0]);
});

test('a leader that loses the API server stops by itself before another begins, tells of it once, and comes back', async (t) => {
  const { server, lease, replica } = await setUp(t);
  const a = replica('a');
  await until(leads(a), 'a leads');
  const silent: Fault[] = Array.from({ length: 100 }, () => 'silence');
  server.fail(lease.path, 'list', ...silent);
  const took = await until(() => !a.election.isLeader, 'a stops');
  assert.ok(took < times.renewMs + 100, String(took));
  assert.ok(Number.isFinite(a.terms[0]?.ended));
  server.heal();
  server.fail(lease.path, 'list', ...Array.from({ length: 6 }, () => ({ status: 503, message: 'overloaded' })));
  await until(leads(a), 'a leads again');
  assert.equal(a.terms.length, 2);
  assert.deepEqual(
    a.problems.filter(({ message }) => message.includes('503')).map(({ code }) => code),
    ['WEFT-E122'],
  );
});

test('a leader whose Lease somebody else has taken stops at once', async (t) => {
  const { lease, replica } = await setUp(t);
  const a = replica('a');
  await until(leads(a), 'a leads');
  const { metadata, spec } = lease.object ?? assert.fail();
  lease.set({ metadata, spec: { ...spec, holderIdentity: 'usurper' } });
  await until(() => Number.isFinite(a.terms[0]?.ended), 'a stops', times.renewMs - times.retryMs);
  assert.equal(a.election.isLeader, false);
  assert.equal(a.holders.at(-1), 'usurper');
});

test('a renewal whose answer is lost, and a Lease that is deleted, end no term', async (t) => {
  const { server, lease, replica } = await setUp(t);
  const a = replica('a');
  await until(leads(a), 'a leads');
  let lost = 0;
  lease.onWrite = () => {
    if (lost++ < 2) server.dropConnections();
  };
  await until(() => lost > 3, 'it is renewed again');
  lease.object = undefined;
  await until(() => lease.object !== undefined, 'it is there again');
  await delay(times.renewMs);
  assert.equal(a.terms.length, 1);
});

test('a term that fails is told to whoever runs the election', async (t) => {
  const { lease, server } = await setUp(t);
  const client = new ApiClient({ url: new URL(`http://127.0.0.1:${server.port}`), credentials: anonymous });
  t.after(() => client.close());
  const election = new LeaderElection({ ...lease.place, client, identity: 'a', onProblem: () => undefined, times });
  await assert.rejects(
    election.run(() => Promise.reject(new Error('a fault of ours')), AbortSignal.timeout(5000)),
    /a fault of ours/,
  );
  assert.equal(election.isLeader, false);
});

test('whatever the server and the network do, there are never two leaders', async (t) => {
  const { server, lease, replica } = await setUp(t);
  const kinds: Fault[] = ['reset', 'silence', 'half', { status: 500 }, { status: 409 }, { delayMs: 200 }, 'garbage'];
  const seeds = [1, 2, 3];
  const random = (() => {
    let state = 20_261_121;
    return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  })();
  const replicas = seeds.map((seed) => replica(`r${seed}`));
  lease.onWrite = () => {
    if (random() < 0.1) server.dropConnections(); // it is written, and nobody hears of it
  };
  let most = 0;
  const begun = performance.now();
  let isStorm = false;
  for (let elapsed = 0; elapsed < 8000; elapsed = performance.now() - begun) {
    const wasStorm = isStorm;
    isStorm = elapsed % 1600 > 800;
    if (wasStorm && !isStorm) server.heal();
    for (const verb of ['list', 'put'] as const) {
      const kind = kinds[Math.floor(random() * kinds.length)] ?? 'reset';
      if (random() < (isStorm ? 0.1 : 0.001)) server.fail(lease.path, verb, ...Array.from({ length: 3 }, () => kind));
    }
    most = Math.max(most, replicas.filter(({ election }) => election.isLeader).length);
    await delay(3);
  }
  server.heal();
  const terms = replicas.flatMap((one) => one.terms).sort((a, b) => a.begun - b.begun);
  for (const [index, { ended }] of terms.entries())
    assert.ok(ended <= (terms[index + 1]?.begun ?? Infinity), `terms ${index} and ${index + 1} overlap`);
  assert.equal(most, 1);
  assert.ok(terms.length > 1, 'the storms end terms');
  t.diagnostic(`${terms.length} terms, ${lease.writes.length} writes`);
  await until(() => replicas.some(({ election }) => election.isLeader), 'somebody leads in the end');
});

function anonymous() {
  return Promise.resolve({ headers: {}, tls: {} });
}
