import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import { objectKey } from '../../../mesh/objects.ts';
import type { Fault } from './fake-api-server.ts';
import { resourceKinds } from './resource-kinds.ts';
import {
  begin,
  isSame,
  namespace,
  namespaces,
  pod,
  pods,
  quick,
  requestsOf,
  slices,
  start,
  transports,
  until,
} from './test-kubernetes-source.ts';

for (const [name, options] of transports) {
  test(`over ${name}: everything is known when start resolves, and each change is told`, async (t) => {
    const begun = await start(t, {
      ...options,
      prepare: (server) => {
        server.apply(namespaces, namespace('shop'));
        for (let i = 0; i < 1200; i++) server.apply(pods, pod(`web-${i}`));
        server.apply('/api/v1/nodes', {
          metadata: { name: 'node-1', labels: { 'topology.kubernetes.io/zone': 'a' } },
          status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] },
        });
      },
    });
    const { server, mirror } = begun;
    assert.equal(mirror.objects.size, 1202);
    assert.ok(isSame(begun));
    const node = mirror.objects.get('Node/node-1');
    assert.deepEqual(node?.value, { name: 'node-1', zone: 'a', addresses: ['192.0.2.1'], taints: [] });
    assert.equal(requestsOf(begun, pods).filter((url) => !url.searchParams.has('watch')).length, 3, 'pages');
    server.apply(pods, pod('web-1', 'web-1', { status: { phase: 'Succeeded' } }));
    server.remove(pods, 'shop/web-2');
    server.apply(pods, pod('new'));
    await until(() => isSame(begun), 'the changes are told');
    assert.deepEqual(mirror.faults, []);
  });
}

test('what the mesh does not read of an object is no change', async (t) => {
  const begun = await start(t, { prepare: (server) => server.apply(pods, pod('web')) });
  const batches = begun.mirror.batches.length;
  begun.server.apply(pods, pod('web', 'web', { extra: 1 }));
  begun.server.apply(namespaces, namespace('later'));
  await until(() => begun.mirror.objects.has('Namespace/later'), 'the namespace is told');
  assert.equal(begun.mirror.batches.length, batches + 1);
});

test('after a lost connection a watch goes on where it was, without a list', async (t) => {
  const begun = await start(t, { prepare: (server) => server.apply(pods, pod('web')) });
  const { server } = begun;
  server.apply(pods, pod('before'));
  await until(() => isSame(begun), 'the first change is told');
  server.dropConnections();
  server.apply(pods, pod('meanwhile'));
  server.remove(pods, 'shop/web');
  await until(() => isSame(begun), 'what happened meanwhile is told');
  assert.equal(requestsOf(begun, pods).filter((url) => !url.searchParams.has('watch')).length, 1);
  assert.deepEqual(begun.mirror.faults, []);
});

test('a bookmark moves on where a watch begins again, so that no compaction hurts', async (t) => {
  const begun = await start(t);
  const { server } = begun;
  await until(() => server.watchers === resourceKinds.length, 'all kinds are watched');
  for (let i = 0; i < 5; i++) server.apply(namespaces, namespace(`ns-${i}`));
  server.compact();
  server.bookmark();
  await until(() => isSame(begun), 'the namespaces are told');
  await delay(10);
  server.endWatches();
  await until(() => server.watchers === resourceKinds.length, 'all kinds are watched again');
  assert.equal(requestsOf(begun, pods).filter((url) => !url.searchParams.has('watch')).length, 1);
});

test('after 410 the difference is told and nothing else', async (t) => {
  for (const extra of [0, 1]) {
    const begun = await start(t, {
      prepare: (server) => ['stays', 'goes', 'changes'].forEach((name) => server.apply(pods, pod(name))),
    });
    const { server, mirror } = begun;
    await until(() => server.watchers === resourceKinds.length, 'all kinds are watched');
    const batches = mirror.batches.length;
    server.dropConnections();
    server.remove(pods, 'shop/goes');
    server.apply(pods, pod('changes', 'changes', { status: { phase: 'Failed' } }));
    for (let i = 0; i < extra; i++) server.apply(namespaces, namespace('odd'));
    server.compact();
    await until(() => isSame(begun), 'the difference is told');
    const deltas = mirror.batches
      .slice(batches)
      .flat()
      .filter(({ object }) => object.kind === 'Pod');
    assert.deepEqual(deltas.map(({ type, object }) => `${type} ${objectKey(object)}`).sort(), [
      'delete Pod/goes',
      'upsert Pod/changes',
    ]);
    const anew = requestsOf(begun, pods).filter((url) => !url.searchParams.has('watch'))[1];
    assert.notEqual(anew?.searchParams.get('resourceVersion'), '0', 'not from before what is known');
  }
});

test('410 within the stream', async (t) => {
  const begun = await start(t);
  await until(() => begun.server.watchers === resourceKinds.length, 'all kinds are watched');
  begun.server.write('{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}\n');
  await until(
    () => requestsOf(begun, pods).filter((url) => !url.searchParams.has('watch')).length === 2,
    'a list anew',
  );
  begun.server.apply(pods, pod('web'));
  await until(() => isSame(begun), 'it is watched again');
});

test('a pod that is made anew under its name is deleted first', async (t) => {
  const begun = await start(t, { prepare: (server) => server.apply(pods, pod('web', 'one')) });
  const { server, mirror } = begun;
  await until(() => server.watchers === resourceKinds.length, 'all kinds are watched');
  server.dropConnections();
  server.remove(pods, 'shop/web');
  server.apply(pods, pod('web', 'two'));
  server.compact();
  await until(() => isSame(begun), 'the successor is told');
  assert.deepEqual(
    mirror.batches.flat().map(({ type, object }) => `${type} ${objectKey(object)}`),
    ['upsert Pod/one', 'delete Pod/one', 'upsert Pod/two'],
  );
});

test('a bad object is named, keeps what it said before and stops no other', async (t) => {
  const bad = { spec: { containers: 'none' } };
  const begun = await start(t, {
    prepare: (server) => {
      server.apply(pods, pod('good'));
      server.apply(pods, pod('never', 'never', bad));
    },
  });
  const { server, mirror, source, problems } = begun;
  assert.deepEqual([...mirror.objects.keys()], ['Pod/good']);
  assert.deepEqual(
    source.problems().map(({ code, message }) => `${code} ${message}`),
    ['WEFT-E120 Pod shop/never: spec.containers must be a list'],
  );
  server.apply(pods, pod('good', 'good', bad));
  server.apply(slices, { metadata: { namespace: 'shop', name: 'web-1', uid: 's' } });
  server.apply(pods, pod('other'));
  await until(() => mirror.objects.has('Pod/other'), 'the other is told');
  await until(() => source.problems().length === 3, 'all problems are there');
  assert.ok(mirror.objects.has('Pod/good'), 'what it said before');
  server.apply(pods, pod('good'));
  server.remove(pods, 'shop/never');
  server.remove(slices, 'shop/web-1');
  await until(() => source.problems().length === 0, 'no problem is left');
  assert.deepEqual(mirror.faults, []);
  assert.equal(problems.length, 3, 'each is told once');
});

test('each failure of the first list is overcome, and said', async (t) => {
  const faults: Fault[] = [
    ...[401, 403, 404, 410, 429, 500, 503].map((status) => ({ status })),
    ...(['reset', 'half', 'garbage', 'silence'] as const),
    { delayMs: 30 },
  ];
  const begun = await start(t, {
    prepare: (server) => {
      server.apply(pods, pod('web'));
      server.fail(pods, 'list', ...faults);
    },
  });
  assert.ok(isSame(begun));
  assert.ok(begun.problems.every(({ code }) => code === 'WEFT-E121'));
  const text = begun.problems.map(({ message }) => message).join('\n');
  for (const status of [401, 403, 404, 429, 500, 503]) assert.match(text, new RegExp(`Pod: .* answers ${status}`));
  await until(() => begun.source.problems().length === 0, 'none is left');
});

test('each failure of a watch is overcome', async (t) => {
  const begun = await start(t);
  const { server } = begun;
  await until(() => server.watchers === resourceKinds.length, 'all kinds are watched');
  server.fail(pods, 'watch', ...[401, 403, 404, 410, 429, 500, 504].map((status) => ({ status })));
  server.fail(pods, 'watch', 'reset', 'half', 'garbage', { delayMs: 20 });
  server.dropConnections();
  server.apply(pods, pod('web'));
  await until(() => isSame(begun) && server.watchers === resourceKinds.length, 'it is watched again');
  server.apply(pods, pod('web-2'));
  await until(() => isSame(begun), 'and goes on');
  assert.deepEqual(begun.mirror.faults, []);
});

test('garbage in the stream, and half an event at its end, lose nothing', async (t) => {
  const begun = await start(t);
  const { server } = begun;
  for (const text of [
    '}}\n',
    '{"type":"NEW","object":{}}\n',
    '"text"\n',
    '{"type":"ADDED"}\n',
    '{"type":"ADDED","obj',
    '\n\n',
  ]) {
    await until(() => server.watchers === resourceKinds.length, 'all kinds are watched');
    server.write(text);
    if (!text.endsWith('\n')) server.endWatches();
    server.apply(pods, pod(`after-${text.length}`));
    await until(() => isSame(begun), JSON.stringify(text));
  }
  assert.deepEqual(begun.mirror.faults, []);
});

test('a watch that falls silent is begun again', async (t) => {
  const begun = await start(t);
  const { server } = begun;
  await until(() => server.watchers === resourceKinds.length, 'all kinds are watched');
  const before = requestsOf(begun, pods).length;
  await until(() => requestsOf(begun, pods).length > before, 'a request after the silence', 2000);
  assert.ok(begun.source.problems().length === 0, 'which is no problem');
});

test('a server that ends each watch at once is not stormed', async (t) => {
  const begun = await start(t, { times: { ...quick, retry: { firstMs: 50, maximumMs: 1000 } } });
  const timer = setInterval(() => begun.server.endWatches(), 1);
  t.after(() => clearInterval(timer));
  const before = begun.server.requests.length;
  await delay(1000);
  const each = (begun.server.requests.length - before) / resourceKinds.length;
  assert.ok(each >= 2 && each <= 6, `${each} requests of each kind in a second`);
});

test('without the server, what it said stays in force; it is found again', async (t) => {
  const begun = await start(t, { prepare: (server) => server.apply(pods, pod('web')) });
  const { server, source, mirror } = begun;
  await until(() => server.watchers === resourceKinds.length, 'all kinds are watched');
  const { port } = server;
  await server.close();
  await until(() => source.problems().length === resourceKinds.length, 'every kind says so');
  assert.deepEqual([...mirror.objects.keys()], ['Pod/web']);
  await server.listen(port);
  server.apply(pods, pod('later'));
  await until(() => isSame(begun), 'it is found again');
  await until(() => source.problems().length === 0, 'and nothing is wrong any more');
});

test('a server that was restored from a backup counts from an earlier number on', async (t) => {
  const begun = await start(t, {
    prepare: (server) => {
      for (let i = 0; i < 50; i++) server.apply(pods, pod(`web-${i}`));
    },
  });
  const { server } = begun;
  server.restart(7);
  server.remove(pods, 'shop/web-3');
  await until(() => isSame(begun), 'it is as the server says');
  assert.deepEqual(begun.mirror.faults, []);
});

test('a list that is compacted between its pages begins anew', async (t) => {
  const begun = await begin({
    prepare: (server) => {
      for (let i = 0; i < 30; i++) server.apply(pods, pod(`web-${i}`));
      server.pageLimit = 7;
      server.fail(pods, 'list', { delayMs: 0 }, { status: 410 });
    },
  });
  t.after(begun.stop);
  await begun.started;
  assert.ok(isSame(begun));
  const listed = requestsOf(begun, pods).filter((url) => !url.searchParams.has('watch'));
  assert.deepEqual(
    listed.slice(0, 3).map(({ searchParams }) => [searchParams.get('resourceVersion'), searchParams.has('continue')]),
    [
      ['0', false],
      [null, true],
      [null, false],
    ],
  );
});

test('a kind that is not installed holds nothing up, and is found when it is', async (t) => {
  const resources = resourceKinds.map((resource) => ({ ...resource, optional: resource.kind === 'Node' }));
  const nodes = '/api/v1/nodes';
  const begun = await start(t, {
    resources,
    prepare: (server) => {
      server.apply(nodes, { metadata: { name: 'node-1', uid: 'n' } });
      server.handlers.set(nodes, () => undefined);
    },
  });
  assert.equal(begun.mirror.objects.size, 0);
  assert.deepEqual(begun.source.problems(), []);
  begun.server.handlers.delete(nodes);
  await until(() => begun.mirror.objects.has('Node/node-1'), 'it is found');
  begun.server.handlers.set(nodes, () => undefined);
  begun.server.dropConnections();
  await until(() => begun.mirror.objects.size === 0, 'its objects went with it');
});

test('start ends with its signal', async () => {
  const begun = await begin({ prepare: (server) => server.fail(pods, 'list', 'silence') });
  await delay(20);
  await begun.stop();
  await assert.rejects(begun.started);
});

/** Whatever happens, in the end the source knows what the server has, and nothing was told twice or as it was not. */
