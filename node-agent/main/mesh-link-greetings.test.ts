import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { Destination } from '../../mesh/destination.ts';
import { addressKey } from '../../mesh/service.ts';
import type { MessageToWorker } from '../worker/messages.ts';
import { TestLink, behind, ownWorkload, service, workload } from './test-mesh-link.ts';

class Heard {
  readonly pods = new Map<number, MessageToWorker>();
  readonly announced = new Set<number>();
  readonly destinations = new Map<string, unknown>();

  constructor(messages: Iterable<MessageToWorker>) {
    for (const message of messages) {
      if (message.type === 'pod') this.pods.set(message.pod, message);
      else if (message.type === 'announced' && message.announcedMs !== undefined) this.announced.add(message.pod);
      else if (message.type === 'announced') this.announced.delete(message.pod);
      else if (message.type === 'destination')
        this.destinations.set(addressKey(message.address, message.port), message.destination);
      else if (message.type === 'forget-destination')
        this.destinations.delete(addressKey(message.address, message.port));
    }
  }

  /** Of these pods: the others are told of by who releases them. */
  about(ids: ReadonlySet<number>): unknown {
    return {
      pods: new Map([...this.pods].filter(([id]) => ids.has(id)).sort(([a], [b]) => a - b)),
      announced: new Set([...this.announced].filter((id) => ids.has(id)).sort()),
      destinations: new Map([...this.destinations].sort()),
    };
  }
}

const names = ['a', 'b', 'c'] as const;
const name = fc.constantFrom(...names);
const meshed = fc.constantFrom(true, false, undefined);
const step = fc.oneof(
  fc.record({ kind: fc.constantFrom('join', 'leave', 'release', 'describe', 'disappear'), name }),
  fc.record({ kind: fc.constant('learn'), name, node: fc.constantFrom('n1', 'n2'), meshed, asService: fc.boolean() }),
  fc.record({ kind: fc.constant('forget'), name }),
);

test('whatever happens, a worker that starts is told what one has been told that was always there', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const test = new TestLink();
      const heard: MessageToWorker[] = [];
      let lastId = 0;
      for (const one of steps) {
        const pod = test.pods.get(`uid-${one.name}`);
        const address = `10.1.0.${names.indexOf(one.name)}`;
        if ('node' in one) {
          const facts = workload(one.name, { node: one.node, meshed: one.meshed });
          const other = behind(workload('other'), { address: '10.1.0.9' });
          const destination: Destination = one.asService
            ? service(behind(facts, { address }), other)
            : { kind: 'workload', workload: facts };
          test.link.learn(address, 80, destination);
        } else if (one.kind === 'forget') test.link.forget(address, 80);
        else if (one.kind === 'describe' || one.kind === 'disappear') {
          if (one.kind === 'describe') test.workloads.set(`uid-${one.name}`, ownWorkload(one.name));
          else test.workloads.delete(`uid-${one.name}`);
          test.link.learnWorkloads(test.workloads);
        } else if (one.kind === 'join' && pod === undefined) test.join(one.name, ++lastId);
        else if (one.kind === 'leave' && pod !== undefined) void test.link.leave(pod);
        else if (one.kind === 'release' && pod !== undefined) test.release(pod);
        heard.push(...test.news());
        const ids = new Set(test.pods.values().map(({ id }) => id));
        assert.deepEqual(new Heard(heard).about(ids), new Heard(test.link.greetings()).about(ids));
      }
    }),
    { numRuns: 60 },
  );
});
