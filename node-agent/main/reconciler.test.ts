import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { parseAddress } from '../../mesh/address.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Skips } from '../../mesh/skips.ts';
import type { EnrolledPod } from './enrolled-pods.ts';
import type { PodToEnrol } from './enrolment.ts';
import { KeyedQueue } from './keyed-queue.ts';
import { PodWishes } from './pod-wishes.ts';
import type { PodEvent } from './reconciler.ts';
import { Reconciler } from './reconciler.ts';
import { TestDirectory, workload } from './test-directory.ts';

const sandbox = { netnsPath: '/run/netns/1', containerId: 'c1', addresses: [parseAddress('10.0.0.7')] };
const web = { uid: 'web', namespace: 'shop', name: 'web' };

/** A node whose kernel does as it is told, but for what a test says. */
class Node {
  readonly directory = new TestDirectory(workload('web', { addresses: ['10.0.0.7'] }));
  readonly enrolled = new Map<string, EnrolledPod>();
  readonly events: PodEvent[] = [];
  readonly queue = new KeyedQueue(8);
  readonly wishes = new PodWishes(this.directory);
  prove: () => Promise<WeftError | undefined> = () => Promise.resolve(undefined);
  release: () => void = () => undefined;
  takesAnew = true;
  isGone = false;
  #lastId = 0;

  start(t: TestContext): Reconciler {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const stop = new AbortController();
    t.after(() => stop.abort());
    const reconciler = new Reconciler({
      wishes: this.wishes,
      pods: { get: (uid) => this.enrolled.get(uid), values: () => [...this.enrolled.values()] },
      finder: { find: () => undefined },
      native: { closeDescriptor: () => undefined },
      queue: this.queue,
      enrolment: {
        enrol: (pod) => Promise.resolve(this.#enrol(pod)),
        prove: () => this.prove(),
        release: ({ uid }) => {
          this.release();
          this.enrolled.delete(uid);
        },
        captureAgain: (pod, skips) => {
          if (this.takesAnew) return this.#capture({ ...pod, skips });
          this.enrolled.delete(pod.uid);
          throw new WeftError('WEFT-E106', 'the map is full');
        },
        mend: () => false,
        occupantOf: () => undefined,
        isNamespaceGone: () => this.isGone,
      },
      beforeRelease: () => Promise.resolve(),
      onEvent: (event) => void this.events.push(event),
    });
    reconciler.start(stop.signal);
    return reconciler;
  }

  #enrol(pod: PodToEnrol): EnrolledPod {
    const id = ++this.#lastId;
    return this.#capture({ ...pod, id, cookie: BigInt(id), ipv4: pod.addresses[0], ipv6: undefined });
  }

  #capture(pod: EnrolledPod): EnrolledPod {
    this.enrolled.set(pod.uid, pod);
    return pod;
  }

  skipsOf(uid: string): Skips | undefined {
    return this.enrolled.get(uid)?.skips;
  }
}

test('a pod joins once its capture has proven itself', async (t) => {
  const node = new Node();
  assert.equal(await node.start(t).addSandbox(web, sandbox), true);
  await node.queue.idle();
  assert.deepEqual(
    node.events.map(({ type }) => type),
    ['enrolled'],
  );
});

test('a proof that cannot be made is one that failed: the pod leaves, and is told of', async (t) => {
  const node = new Node();
  node.prove = () => Promise.reject(new WeftError('WEFT-E105', 'the broker is gone'));
  const reconciler = node.start(t);
  await reconciler.addSandbox(web, sandbox);
  await node.queue.idle();
  assert.equal(node.enrolled.size, 0);
  assert.deepEqual(
    reconciler.notMeshable.map(({ pod, error }) => [pod, error.code]),
    [['shop/web', 'WEFT-E105']],
  );
});

test('a kernel that does not let go of a pod is told of, and asked again', async (t) => {
  const node = new Node();
  const reconciler = node.start(t);
  await reconciler.addSandbox(web, sandbox);
  await node.queue.idle();
  node.isGone = true;
  node.release = () => {
    throw new Error('no such device');
  };
  t.mock.timers.tick(1000);
  await node.queue.idle();
  assert.match(reconciler.notMeshable[0]?.error.message ?? '', /no such device/);
  node.release = () => undefined;
  t.mock.timers.tick(1000);
  await node.queue.idle();
  assert.equal(node.enrolled.size, 0);
});

test('new lists of a pod that leaves meanwhile do not bring it back', async (t) => {
  const node = new Node();
  const reconciler = node.start(t);
  await reconciler.addSandbox(web, sandbox);
  await node.queue.idle();
  const deleted = reconciler.deleteSandbox('web', 'c1', 'its sandbox is deleted');
  const configuration = { 'config.linkerd.io/skip-inbound-ports': '25' };
  node.directory.workloads.set('web', workload('web', { addresses: ['10.0.0.7'], configuration }));
  node.wishes.changed();
  await deleted;
  await node.queue.idle();
  assert.equal(node.skipsOf('web'), undefined);
});

test('new lists count for a pod that is there', async (t) => {
  const node = new Node();
  await node.start(t).addSandbox(web, sandbox);
  await node.queue.idle();
  const configuration = { 'config.linkerd.io/skip-inbound-ports': '25' };
  node.directory.workloads.set('web', workload('web', { addresses: ['10.0.0.7'], configuration }));
  node.wishes.changed();
  await node.queue.idle();
  assert.deepEqual(node.skipsOf('web')?.inboundPorts.at(-1), [25, 25]);
});

test('a pod whose new lists the kernel does not take has left, which is told', async (t) => {
  const node = new Node();
  node.takesAnew = false;
  const reconciler = node.start(t);
  await reconciler.addSandbox(web, sandbox);
  await node.queue.idle();
  const configuration = { 'config.linkerd.io/skip-inbound-ports': '25' };
  node.directory.workloads.set('web', workload('web', { addresses: ['10.0.0.7'], configuration }));
  node.wishes.changed();
  await node.queue.idle();
  assert.deepEqual(
    node.events.map(({ type }) => type),
    ['enrolled', 'released', 'not-meshable'],
  );
});
