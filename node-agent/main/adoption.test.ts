import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { AdoptedPod } from '../../native/capture.d.ts';
import { Adoption } from './adoption.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import { KeyedQueue } from './keyed-queue.ts';

const none = { inboundPorts: [], outboundPorts: [], subnets: [] };

function pod(id: number, changed: Partial<EnrolledPod> = {}): EnrolledPod {
  return {
    uid: `uid-${id}`,
    namespace: 'shop',
    name: `web-${id}`,
    id,
    cookie: BigInt(1000 + id),
    netnsPath: `/run/netns/${id}`,
    ipv4: undefined,
    ipv6: undefined,
    skips: none,
    ports: [],
    containerId: undefined,
    ...changed,
  };
}

/** The node: what is pinned, what an earlier agent wrote, and what was done. */
class Node {
  readonly enrolled = new Map<string, EnrolledPod>();
  readonly gone = new Set<number>();
  readonly failing = new Set<number>();
  readonly damaged = new Set<number>();
  readonly done: string[] = [];
  readonly errors: object[] = [];
  readonly queue = new KeyedQueue(8);
  readonly adoption: Adoption;

  constructor(pinned: readonly EnrolledPod[] = [], written: readonly EnrolledPod[] = []) {
    this.adoption = new Adoption({
      capture: {
        adopted: () => pinned.map(({ id, cookie }): AdoptedPod => ({ id, cookie, workers: 2 })),
        forget: (cookie) => void this.done.push(`forget ${cookie}`),
        attach: () => void this.done.push('attach'),
      },
      enrolment: {
        reserveIds: (ids) => void this.done.push(`reserve ${[...ids].join()}`),
        releaseIds: (ids) => void this.done.push(`free ${[...ids].join()}`),
        isNamespaceGone: ({ id }) => this.gone.has(id),
        listenAgain: (one) => {
          if (this.failing.has(one.id)) return Promise.reject(new Error('no port is free'));
          this.done.push(`listen ${one.id}`);
          this.enrolled.set(one.uid, one);
          return Promise.resolve();
        },
        captureAgain: (one) => {
          if (this.damaged.has(one.id)) throw new Error('no device has the address');
          this.done.push(`capture ${one.id}`);
          return one;
        },
      },
      pods: {
        get: (uid) => this.enrolled.get(uid),
        values: () => [...this.enrolled.values()],
        readPredecessors: () => [...written],
      },
      queue: this.queue,
      log: { error: (what: object) => void this.errors.push(what) },
    });
  }
}

test('pods of an earlier agent are listened for before the programs are its, and what cannot be found is taken out', async () => {
  const node = new Node([pod(1), pod(2), pod(3), pod(4)], [pod(1), pod(2), pod(3), pod(5)]);
  node.gone.add(2);
  node.failing.add(3);
  await node.adoption.ofEarlierAgent();
  assert.deepEqual(node.done, [
    'reserve 1,2,3,4',
    'listen 1',
    'forget 1002',
    'forget 1003',
    'forget 1004',
    'free 2,3,4',
    'attach',
    'capture 1',
  ]);
  assert.equal(node.errors.length, 1);
});

test('a pod that the kernel does not take anew does not keep the agent from the others', async () => {
  const node = new Node([pod(1), pod(2)], [pod(1), pod(2)]);
  node.damaged.add(1);
  await node.adoption.ofEarlierAgent();
  assert.deepEqual(node.done.slice(-2), ['attach', 'capture 2']);
  assert.equal(node.errors.length, 1);
});

test('a pod whose namespace has just gone does not keep a new broker from the others', async () => {
  const node = new Node();
  for (const id of [1, 2, 3]) node.enrolled.set(`uid-${id}`, pod(id));
  node.gone.add(1);
  await node.adoption.ofLostBroker();
  assert.deepEqual(node.done, ['listen 2', 'listen 3']);
});

test('a pod that leaves meanwhile does not come back with a new broker', async () => {
  const node = new Node();
  node.enrolled.set('uid-1', pod(1));
  node.enrolled.set('uid-2', pod(2));
  const { promise: released, resolve: release } = Promise.withResolvers<undefined>();
  const leaving = node.queue.run('uid-1', async () => {
    await released;
    node.enrolled.delete('uid-1');
  });
  const joiningAgain = node.queue.run('uid-2', async () => {
    await released;
    node.enrolled.set('uid-2', pod(7, { uid: 'uid-2' }));
  });
  const adopted = node.adoption.ofLostBroker();
  release(undefined);
  await Promise.all([leaving, joiningAgain, adopted]);
  assert.deepEqual(node.done, []);
  assert.deepEqual(
    [...node.enrolled.values()].map(({ id }) => id),
    [7],
  );
});

test('a broker that cannot serve a pod is told of', async () => {
  const node = new Node();
  node.enrolled.set('uid-1', pod(1));
  node.failing.add(1);
  await assert.rejects(node.adoption.ofLostBroker(), /no port/);
});
