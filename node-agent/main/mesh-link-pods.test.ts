import assert from 'node:assert/strict';
import { test } from 'node:test';

import { enrolled, made, TestLink, behind, namesOf, ownWorkload, service, workload } from './test-mesh-link.ts';

test('a pod that joins is reported, described, announced, and reached another way', () => {
  const test = new TestLink();
  const own = ownWorkload('web');
  test.workloads.set(own.uid, own);
  test.link.learn('10.96.0.1', 80, service(behind(own), behind(workload('db'), { address: '10.1.0.6' })));
  test.link.learn('10.96.0.2', 80, service(behind(workload('db'))));
  test.news();
  const pod = enrolled('web', 4);
  test.pods.set(pod);
  test.link.joined(pod);
  assert.deepEqual(test.reports, ['joined uid-web']);
  assert.deepEqual(test.wanted, [['web.shop.mesh']]);
  const [described, announced, again, ...rest] = test.news();
  assert.deepEqual(described, {
    type: 'pod',
    pod: 4,
    namespace: 'shop',
    name: 'web',
    owner: made.owner,
    identity: 'web.shop.mesh',
    opaquePorts: [[3306, 3306]],
    skippedPorts: [],
    skippedClients: [],
  });
  assert.ok(announced?.type === 'announced');
  assert.ok(announced.announcedMs !== undefined && announced.announcedMs >= 0 && announced.announcedMs < 5000);
  assert.ok(again?.type === 'destination' && again.destination.kind === 'endpoints');
  assert.deepEqual(
    again.destination.endpoints.map(({ meshed, localPod }) => [meshed, localPod]),
    [
      [true, 4],
      [true, 0],
    ],
  );
  assert.deepEqual(rest, [], 'nobody is told again what has not changed');
});

test('a pod that leaves is announced no more, stays reachable as it is, and leaves when its peers know', async () => {
  const test = new TestLink();
  const own = ownWorkload('web');
  test.workloads.set(own.uid, own);
  test.link.learn('10.1.0.7', 80, { kind: 'workload', workload: own });
  const pod = test.join('web', 4);
  test.news();
  let hasLeft = false;
  const leaving = test.link.leave(pod).then(() => (hasLeft = true));
  assert.deepEqual(test.news(), [{ type: 'announced', pod: 4, announcedMs: undefined }]);
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web']);
  await Promise.resolve();
  assert.equal(hasLeft, false);
  test.acknowledge.forEach((acknowledge) => acknowledge());
  await leaving;
  test.release(pod);
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web'], 'it is not reported twice');
  const endpoints = [
    {
      ...{ address: '10.1.0.7', port: 80, meshed: false, identity: 'web.shop.mesh', uid: 'uid-web', localPod: 0 },
      names: namesOf('web'),
    },
  ];
  assert.deepEqual(test.news(), [
    {
      type: 'destination',
      address: '10.1.0.7',
      port: 80,
      destination: { kind: 'endpoints', protocol: 'detect', endpoints },
    },
  ]);
  assert.deepEqual(test.wanted.at(-1), []);
});

test('a pod that is gone at once is reported all the same; one that never joined is not', async () => {
  const test = new TestLink();
  test.release(test.join('web', 4));
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web']);
  const never = enrolled('db', 5);
  test.pods.set(never);
  await test.link.leave(never);
  test.release(never);
  assert.equal(test.reports.length, 2);
});

test('a pod that joins again is announced anew, under its new number', async () => {
  const test = new TestLink();
  const own = ownWorkload('web');
  test.workloads.set(own.uid, own);
  test.link.learn('10.1.0.7', 80, { kind: 'workload', workload: own });
  const first = test.join('web', 4);
  const leaving = test.link.leave(first);
  test.acknowledge.forEach((acknowledge) => acknowledge());
  await leaving;
  test.release(first);
  test.news();
  test.join('web', 9);
  assert.deepEqual(test.reports, ['joined uid-web', 'leave uid-web', 'joined uid-web']);
  const news = test.news();
  const announced = news.find((message) => message.type === 'announced');
  assert.deepEqual([announced?.pod, announced?.announcedMs !== undefined], [9, true]);
  const [destination] = news.flatMap((message) => (message.type === 'destination' ? [message.destination] : []));
  assert.ok(destination?.kind === 'endpoints');
  assert.deepEqual([destination.endpoints[0]?.meshed, destination.endpoints[0]?.localPod], [true, 9]);
});

test("news of the node's workloads reach the workers, and only identities of captured pods are wanted", () => {
  const test = new TestLink();
  test.join('web', 4);
  assert.deepEqual(test.wanted.at(-1), [], 'nobody has said yet who it is');
  const identities = (): unknown =>
    test.news().flatMap((message) => (message.type === 'pod' ? [[message.pod, message.identity]] : []));
  assert.deepEqual(identities(), [[4, ''], [4, '']]); // prettier-ignore
  test.workloads.set('uid-web', ownWorkload('web'));
  test.workloads.set('uid-other', ownWorkload('other'));
  test.link.learnWorkloads(test.workloads);
  assert.deepEqual(identities(), [[4, 'web.shop.mesh']]);
  assert.deepEqual(test.wanted.at(-1), ['web.shop.mesh']);
});

/** What a worker knows that has heard these messages. */
