import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { WeftError } from '../../mesh/errors.ts';
import type { SourcePod } from '../../mesh/objects.ts';
import { testNamespace, testPod } from '../../mesh/objects-test.ts';
import { Model } from '../model.ts';
import { ApiClient } from '../sources/kubernetes/api-client.ts';
import { FakeApiServer } from '../sources/kubernetes/fake-api-server.ts';
import { PodEvents } from './pod-events.ts';
import { Troubles } from './troubles.ts';

interface KubeEvent {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly note: string;
  readonly series?: { readonly count: number; readonly lastObservedTime: string };
  readonly [field: string]: unknown;
}

const path = '/apis/events.k8s.io/v1/namespaces/shop/events';
const times = { settleMs: 20, repeatMs: 150, paceMs: 2, lookMs: 10, retry: { firstMs: 20, maximumMs: 40 } };
const trouble = { code: 'WEFT-E101', message: 'shop/web: no connection of it arrived' };

class Setting {
  readonly server = new FakeApiServer([]);
  readonly troubles = new Troubles();
  readonly problems: WeftError[] = [];
  readonly events = new Map<string, KubeEvent>();
  readonly model = new Model({ ownNamespace: 'weft', identityOf: () => 'x' });

  static async start(t: TestContext): Promise<Setting> {
    const setting = new Setting();
    const client = new ApiClient(await setting.server.listen());
    setting.server.handlers.set(path, ({ body }) => {
      const event = JSON.parse(body) as KubeEvent;
      setting.events.set(event.metadata.name, event);
      setting.server.handlers.set(`${path}/${event.metadata.name}`, ({ method, headers, body: patch }) => {
        const known = setting.events.get(event.metadata.name);
        if (known === undefined) return undefined;
        assert.deepEqual([method, headers['content-type']], ['PATCH', 'application/merge-patch+json']);
        setting.events.set(event.metadata.name, { ...known, ...(JSON.parse(patch) as object) });
        return { status: 200, body: {} };
      });
      return { status: 201, body: event };
    });
    setting.model.apply([{ type: 'upsert', object: { kind: 'Namespace', value: testNamespace('shop') } }]);
    setting.pod('u1', { name: 'web' });
    const stop = new AbortController();
    const events = new PodEvents({
      ...{ client, troubles: setting.troubles, times, instance: 'controller-1_abc' },
      workload: (uid) => setting.model.workload(uid),
      onProblem: (problem) => setting.problems.push(problem),
    });
    const run = events.run(stop.signal);
    t.after(async () => {
      stop.abort();
      await run;
      await client.close();
      await setting.server.close();
    });
    return setting;
  }

  pod(uid: string, change: Partial<SourcePod>): void {
    this.model.apply([{ type: 'upsert', object: { kind: 'Pod', value: testPod(uid, change) } }]);
  }

  get counts(): number[] {
    return [...this.events.values()].map(({ series }) => series?.count ?? 1);
  }
}

async function until(isTrue: () => boolean, what: string): Promise<void> {
  const begun = performance.now();
  while (!isTrue()) {
    assert.ok(performance.now() - begun < 5000, what);
    await delay(5);
  }
}

test('a pod that is in the mesh, but not as it asks to be, is not said to be outside', async (t) => {
  const setting = await Setting.start(t);
  setting.troubles.set('n1', 'u1', { code: 'WEFT-E107', message: 'config.linkerd.io/skip-inbound-ports: "many"' });
  await until(() => setting.events.size === 1, 'it is told');
  const [event] = setting.events.values();
  assert.equal(event?.['reason'], 'MeshAnnotationUnreadable');
  assert.match(event.note, /^WEFT-E107 .*skip-inbound-ports.*Mend the annotation/);
});

test('a trouble that lasts is an Event of the pod, and a series of it while it goes on lasting', async (t) => {
  const setting = await Setting.start(t);
  setting.troubles.set('n1', 'u1', trouble);
  await until(() => setting.events.size === 1, 'it is told');
  const [event] = setting.events.values();
  const { metadata, eventTime, note, ...rest } = event ?? assert.fail();
  assert.match(metadata.name, /^web\.[0-9a-f]{16}$/);
  assert.match(String(eventTime), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  assert.match(note, /^WEFT-E101 shop\/web: no connection of it arrived\. Look whether the pod runs in a sandbox/);
  assert.deepEqual(rest, {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    type: 'Warning',
    reason: 'NotInMesh',
    action: 'Enrol',
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'shop', name: 'web', uid: 'u1' },
    reportingController: 'weft.dev/controller',
    reportingInstance: 'controller-1_abc',
  });
  const begun = performance.now();
  await until(() => setting.counts[0] === 3, 'it is told again');
  assert.ok(performance.now() - begun >= 2 * times.repeatMs - 50);
  assert.equal(setting.events.size, 1);
  setting.troubles.set('n1', 'u1', undefined);
  await delay(2 * times.repeatMs);
  assert.deepEqual(setting.counts, [3]);
  setting.events.clear(); // the server forgets it
  setting.troubles.set('n1', 'u1', { ...trouble, message: 'again' });
  await until(() => setting.events.size === 1, 'there is a new one');
  assert.deepEqual(setting.counts, [1]);
  assert.deepEqual(setting.problems, []);
});

test('what passes at once is not told, and an agent that connects again says nothing new', async (t) => {
  const setting = await Setting.start(t);
  setting.troubles.set('n1', 'u1', trouble);
  setting.troubles.set('n1', 'u1', undefined);
  await delay(60);
  assert.equal(setting.events.size, 0);
  setting.troubles.replace('n1', [['u1', trouble]]);
  await until(() => setting.events.size === 1, 'it is told');
  for (let stream = 0; stream < 5; stream++) {
    setting.troubles.forget('n1');
    await delay(5);
    setting.troubles.replace('n1', [['u1', trouble]]);
  }
  await delay(50);
  assert.deepEqual(setting.counts, [1]);
  setting.troubles.set('n1', 'u1', { code: 'WEFT-E104', message: 'another' });
  await until(() => setting.events.size === 2, 'another reason is another Event');
});

test('an agent has no say about pods of other nodes, unknown ones, and those that are not to be in the mesh', async (t) => {
  const setting = await Setting.start(t);
  setting.pod('elsewhere', { nodeName: 'n2' });
  setting.pod('outside', { labels: { 'weft.dev/mesh': 'disabled' } });
  setting.pod('ended', { phase: 'Failed' });
  setting.pod('going', { deleting: true });
  for (const uid of ['elsewhere', 'outside', 'ended', 'going', 'unknown']) setting.troubles.set('n1', uid, trouble);
  setting.troubles.set('n1', 'u1', { code: 'E1', message: 'no code' });
  await delay(80);
  assert.equal(setting.events.size, 0);
});

test('what an agent writes is bounded and on one line', async (t) => {
  const setting = await Setting.start(t);
  setting.pod('u2', { name: 'w'.repeat(250) });
  setting.troubles.set('n1', 'u2', { code: 'WEFT-E999', message: `one\n\u2028two\u0000${'ü'.repeat(5000)}` });
  await until(() => setting.events.size === 1, 'it is told');
  const { note, metadata } = [...setting.events.values()][0] ?? assert.fail();
  assert.match(note, /^WEFT-E999 one two ü+/);
  assert.ok(Buffer.byteLength(note) <= 1024 && !note.includes('\uFFFD'), note);
  assert.ok(metadata.name.length <= 253);
});

test('a refusal is told once and tried again; one that stays so is given up for that pod alone', async (t) => {
  const setting = await Setting.start(t);
  setting.pod('u2', { name: 'other' });
  const overloaded = { status: 429, message: 'slow down' };
  setting.server.fail(path, 'post', overloaded, overloaded, overloaded, { status: 422, message: 'invalid' });
  setting.troubles.set('n1', 'u1', trouble);
  setting.troubles.set('n1', 'u2', trouble);
  await until(() => setting.events.size === 1, 'one is told');
  assert.deepEqual(
    setting.problems.map(({ code, message }) => [code, message]),
    [['WEFT-E124', 'Events cannot be written: the API server answers 429: slow down']],
  );
  await until(() => setting.events.size === 2, 'the other is tried again later');
});

test('a namespace that takes no Events holds up no other, and a missing right is told', async (t) => {
  const setting = await Setting.start(t);
  setting.model.apply([{ type: 'upsert', object: { kind: 'Namespace', value: testNamespace('going') } }]);
  setting.pod('u0', { name: 'first', namespace: 'going' });
  const refuse = (body: object): void => {
    const collection = path.replace('shop', 'going');
    setting.server.handlers.set(collection, () => ({ status: 403, body: { kind: 'Status', ...body } }));
  };
  refuse({ message: 'it is being terminated', details: { causes: [{ reason: 'NamespaceTerminating' }] } });
  setting.troubles.set('n1', 'u0', trouble);
  setting.troubles.set('n1', 'u1', trouble);
  await until(() => setting.events.size === 1, 'the other is told');
  assert.deepEqual(setting.problems, []);
  refuse({ message: 'not allowed' });
  await until(() => setting.problems.length > 0, 'the right is missing');
  assert.match(setting.problems.map(({ message }) => message).join(), /403: not allowed/);
});

test('many troubles are told one after the other', async (t) => {
  const setting = await Setting.start(t);
  const uids = Array.from({ length: 100 }, (_, index) => `p${index}`);
  for (const uid of uids) {
    setting.pod(uid, { name: uid });
    setting.troubles.set('n1', uid, trouble);
  }
  const begun = performance.now();
  await until(() => setting.events.size === 100, 'all are told');
  assert.ok(performance.now() - begun >= 100 * times.paceMs);
});
