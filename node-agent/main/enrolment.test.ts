import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { EnrolledPod } from './enrolled-pods.ts';
import { Enrolment } from './enrolment.ts';

const none = { inboundPorts: [], outboundPorts: [], subnets: [] };
const web = {
  uid: 'web',
  namespace: 'shop',
  name: 'web',
  addresses: [],
  skips: none,
  ports: [],
  netnsPath: '/run/netns/web',
  containerId: undefined,
};

/** A node of one pod: what its kernel, its broker and its workers were told. */
class Node {
  readonly pods = new Map<string, EnrolledPod>();
  readonly done: string[] = [];
  readonly open = new Set<number>();
  refusal: Error | undefined;
  #lastDescriptor = 0;

  readonly enrolment = new Enrolment({
    native: {
      openNetns: () => {
        this.open.add(++this.#lastDescriptor);
        return this.#lastDescriptor;
      },
      netnsCookie: () => 7n,
      closeDescriptor: (descriptor: number) => void this.open.delete(descriptor),
    } as never,
    capture: {
      enrol: () => {
        if (this.refusal) throw this.refusal;
        this.done.push('captured');
      },
      release: (_netns: number, id: number) => void this.done.push(`kernel lets go of ${id}`),
      cleanNamespace: () => void this.done.push('cleaned'),
    } as never,
    broker: () =>
      ({
        addPod: ({ pod }: { pod: number }) => {
          this.done.push(`listen for ${pod}`);
          return Promise.resolve(4000);
        },
        removePod: (pod: number) => void this.done.push(`no listener for ${pod}`),
      }) as never,
    pods: {
      set: (pod: EnrolledPod) => void this.pods.set(pod.uid, pod),
      delete: (uid: string) => void this.pods.delete(uid),
      values: () => [...this.pods.values()],
    } as never,
    proof: {} as never,
    workers: 1,
    tellWorkers: (message) => {
      if (message.type === 'pod-released') this.done.push(`workers let go of ${message.pod}`);
    },
    describe: ({ id }) => ({ type: 'pod', pod: id }) as never,
  });
}

const hasLeft = ['kernel lets go of 1', 'workers let go of 1', 'no listener for 1', 'cleaned'];

test('nothing stays of a pod that the kernel does not take', async () => {
  const node = new Node();
  node.refusal = new Error('the map is full');
  await assert.rejects(node.enrolment.enrol(web), { code: 'WEFT-E106' });
  node.enrolment.workerDrained(1, 0);
  assert.deepEqual(node.done, ['listen for 1', ...hasLeft]);
  assert.deepEqual([node.pods.size, node.open.size], [0, 0]);
});

test('nor of one whose new lists it does not take: it must not count as captured', async () => {
  const node = new Node();
  const pod = await node.enrolment.enrol(web);
  node.refusal = new Error('the map is full');
  assert.throws(() => node.enrolment.captureAgain(pod, none), { code: 'WEFT-E106' });
  assert.equal(node.pods.size, 0);
  node.enrolment.workerDrained(1, 0);
  assert.deepEqual(node.done, ['listen for 1', 'captured', ...hasLeft]);
  node.refusal = undefined;
  assert.equal((await node.enrolment.enrol(web)).id, 2);
  assert.equal(node.open.size, 0);
});
