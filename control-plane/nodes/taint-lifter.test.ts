import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { WeftError } from '../../mesh/errors.ts';
import { ApiClient } from '../sources/kubernetes/api-client.ts';
import type { FakeRequest, RawObject } from '../sources/kubernetes/fake-api-server.ts';
import { FakeApiServer } from '../sources/kubernetes/fake-api-server.ts';
import { KubernetesSource } from '../sources/kubernetes/kubernetes-source.ts';
import { TaintLifter } from './taint-lifter.ts';

interface Taint {
  readonly key: string;
  readonly effect: string;
  readonly value?: string;
}

interface Operation {
  readonly op: 'test' | 'remove';
  readonly path: string;
  readonly value?: string;
}

const nodes = '/api/v1/nodes';
const pods = '/api/v1/pods';
const agents = { namespace: 'mesh', serviceAccount: 'weft-agent' };
const ours: Taint = { key: 'weft.dev/agent-not-ready', effect: 'NoExecute' };
const alsoOurs: Taint = { key: 'weft.dev/agent-not-ready', effect: 'NoSchedule', value: 'true' };
const others: readonly Taint[] = ['a', 'b', 'c'].map((key) => ({ key: `other.io/${key}`, effect: 'NoSchedule' }));

class Setting {
  readonly server = new FakeApiServer([nodes, pods]);
  readonly lifted: string[] = [];
  readonly problems: WeftError[] = [];
  readonly patches: { node: string; operations: Operation[]; contentType: unknown }[] = [];
  /** Before a patch is looked at. */
  beforePatch: () => void = () => undefined;
  readonly #stop = new AbortController();
  #run: Promise<void> = Promise.resolve();

  static async start(t: TestContext, prepare: (setting: Setting) => void, isLeader = true): Promise<Setting> {
    const setting = new Setting();
    prepare(setting);
    const client = new ApiClient(await setting.server.listen());
    const onProblem = (problem: WeftError): void => void setting.problems.push(problem);
    const source = new KubernetesSource({
      client,
      onProblem,
      resources: [
        { kind: 'Pod', path: pods },
        { kind: 'Node', path: nodes },
      ],
    });
    const lifter = new TaintLifter({
      client,
      agents,
      onProblem,
      onLifted: (node) => setting.lifted.push(node),
      retry: { firstMs: 20, maximumMs: 100 },
    });
    source.onDeltas(lifter.apply);
    t.after(async () => {
      setting.#stop.abort();
      await setting.#run;
      await client.close();
      await setting.server.close();
    });
    await source.start(setting.#stop.signal);
    setting.lead = () => void (setting.#run = lifter.run(setting.#stop.signal));
    if (isLeader) setting.lead();
    return setting;
  }

  lead: () => void = () => undefined;

  node(name: string, ...taints: readonly Taint[]): void {
    this.server.apply(nodes, { metadata: { name, uid: name }, spec: { taints } });
    this.server.handlers.set(`${nodes}/${name}`, (request) => this.#patch(name, request));
  }

  agent(node: string, isReady: boolean, change: { namespace?: string; account?: string; deleting?: boolean } = {}) {
    const { namespace = 'mesh', account = 'weft-agent', deleting = false } = change;
    this.server.apply(pods, {
      metadata: {
        ...{ namespace, name: `${account}-${node}`, uid: `${namespace}-${account}-${node}` },
        ...(deleting && { deletionTimestamp: '2026-01-01T00:00:00Z' }),
      },
      spec: { nodeName: node, serviceAccountName: account, hostNetwork: true, containers: [] },
      status: { phase: 'Running', conditions: [{ type: 'Ready', status: isReady ? 'True' : 'False' }] },
    });
  }

  taints(node: string): readonly Taint[] {
    const object = this.server.objects(nodes).find(({ metadata }) => metadata.name === node);
    return (object?.['spec'] as { taints: readonly Taint[] } | undefined)?.taints ?? assert.fail(`no node ${node}`);
  }

  /** As a server does: all of it or nothing, on what is there now. */
  #patch(name: string, { method, body, headers }: FakeRequest): { status: number; body: unknown } | undefined {
    assert.equal(method, 'PATCH');
    const operations = JSON.parse(body) as Operation[];
    this.patches.push({ node: name, operations, contentType: headers['content-type'] });
    this.beforePatch();
    const object = this.server.objects(nodes).find(({ metadata }) => metadata.name === name);
    if (object === undefined) return undefined;
    const taints = [...this.taints(name)];
    for (const { op, path, value } of operations) {
      const [, place = '', member] = /^\/spec\/taints\/(\d+)(\/key)?$/.exec(path) ?? assert.fail(path);
      const found = taints[Number(place)];
      if (op === 'remove') taints.splice(Number(place), 1);
      else if (member === undefined || found?.key !== value)
        return { status: 422, body: { kind: 'Status', code: 422, message: 'testing path failed' } };
    }
    const patched: RawObject = { ...object, spec: { taints } };
    this.server.apply(nodes, patched);
    return { status: 200, body: patched };
  }
}

async function until(isTrue: () => boolean, what: string): Promise<void> {
  const begun = performance.now();
  while (!isTrue()) {
    assert.ok(performance.now() - begun < 5000, what);
    await delay(5);
  }
}

test('the taint goes when the agent of the node is ready, with any effect and value, and what others have put there stays', async (t) => {
  const [a, b, c] = others as [Taint, Taint, Taint];
  const setting = await Setting.start(t, (one) => {
    one.node('n1', a, ours, b, alsoOurs, c);
    one.node('n2', ours);
    one.node('n3', a);
    for (const node of ['n1', 'n2', 'n3']) one.agent(node, false);
  });
  await delay(100);
  assert.deepEqual(setting.patches, []);
  setting.agent('n1', true);
  await until(() => setting.lifted.length === 1, 'n1');
  assert.deepEqual(setting.taints('n1'), [a, b, c]);
  assert.deepEqual(setting.taints('n2'), [ours]);
  const types = setting.patches.map(({ contentType }) => contentType);
  assert.deepEqual(types, ['application/json-patch+json']);
  setting.agent('n2', true);
  setting.agent('n3', true);
  await until(() => setting.lifted.length === 2, 'n2');
  assert.deepEqual(setting.taints('n2'), []);
  await delay(100);
  assert.deepEqual(setting.lifted, ['n1', 'n2']);
  assert.equal(setting.patches.length, 2, 'and nobody is asked again');
  setting.agent('n1', false);
  await delay(100);
  assert.deepEqual(setting.taints('n1'), [a, b, c], 'it is not put back');
  assert.deepEqual(setting.problems, []);
});

test('a node that is registered anew is looked at anew', async (t) => {
  const setting = await Setting.start(t, (one) => {
    one.node('n1', ours);
    one.agent('n1', true);
  });
  await until(() => setting.lifted.length === 1, 'it is lifted');
  setting.server.remove(pods, 'mesh/weft-agent-n1');
  setting.server.remove(nodes, 'n1');
  setting.node('n1', ours);
  await delay(100);
  assert.deepEqual(setting.taints('n1'), [ours]);
  setting.agent('n1', true);
  await until(() => setting.lifted.length === 2, 'it is lifted again');
});

test('pods that are no agents, or are going, make no node ready', async (t) => {
  const setting = await Setting.start(t, (one) => {
    one.node('n1', ours);
    one.agent('n1', true, { namespace: 'shop' });
    one.agent('n1', true, { account: 'weft-controller' });
    one.agent('n1', true, { deleting: true });
  });
  await delay(150);
  assert.deepEqual(setting.patches, []);
});

test('taints that somebody changes at the same moment are not lost', async (t) => {
  const [a, b, c] = others as [Taint, Taint, Taint];
  const setting = await Setting.start(t, (one) => {
    one.node('n1', a, ours);
    one.node('n2', a, ours, b);
    one.agent('n1', true);
    one.agent('n2', true);
    const changes: (() => void)[] = [
      () => one.node('n1', a, ours, c), // at the end: the place is right
      () => one.node('n2', c, a, ours, b), // before it: another's is there now
    ];
    one.beforePatch = () => changes.shift()?.();
  });
  await until(() => setting.lifted.length === 2, 'both are lifted');
  assert.deepEqual(setting.taints('n1'), [a, c]);
  assert.deepEqual(setting.taints('n2'), [c, a, b]);
  assert.deepEqual(
    setting.patches.map(({ node }) => node),
    ['n1', 'n2', 'n2'],
  );
  assert.deepEqual(setting.problems, [], 'that is no fault');
});

test('a refusal is told once, holds up no other node, and is tried again', async (t) => {
  const setting = await Setting.start(t, (one) => {
    for (const node of ['n1', 'n2']) {
      one.node(node, ours);
      one.agent(node, true);
    }
    const refusal = { status: 403, message: 'may not patch' };
    one.server.fail(`${nodes}/n1`, 'patch', refusal, refusal, refusal);
  });
  await until(() => setting.lifted.length === 2, 'both are lifted');
  assert.deepEqual(setting.lifted, ['n2', 'n1']);
  assert.deepEqual(
    setting.problems.map(({ code, message }) => [code, message]),
    [['WEFT-E123', 'Node n1: the API server answers 403: may not patch']],
  );
});

test('a node that is gone is forgotten, and who begins to lead does what is to be done', async (t) => {
  const setting = await Setting.start(
    t,
    (one) => {
      for (const node of ['n1', 'n2']) {
        one.node(node, ours);
        one.agent(node, true);
      }
    },
    false,
  );
  await delay(100);
  assert.deepEqual(setting.patches, []);
  setting.server.handlers.set(`${nodes}/n1`, () => undefined);
  setting.lead();
  await until(() => setting.lifted.includes('n2'), 'n2 is lifted');
  await delay(100);
  assert.deepEqual(setting.lifted, ['n2']);
  assert.deepEqual(setting.problems, []);
});
