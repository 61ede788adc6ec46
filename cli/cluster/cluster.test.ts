import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { FakeApiServer } from '../../control-plane/sources/kubernetes/fake-api-server.ts';
import { version } from '../../mesh/version.ts';
import { Cluster } from './cluster.ts';
import type { KubeObject } from './objects.ts';
import { TestPorts } from './test-ports.ts';

const pods = '/api/v1/pods';
const signal = () => AbortSignal.timeout(10_000);

async function setUp(t: TestContext) {
  const server = new FakeApiServer([pods]);
  const cluster = new Cluster(await server.listen());
  t.after(async () => {
    await cluster.close();
    await server.close();
  });
  return { server, cluster };
}

test('a list is read page by page', async (t) => {
  const { server, cluster } = await setUp(t);
  for (let index = 0; index < 1200; index++) server.apply(pods, { metadata: { name: `p${index}`, namespace: 'a' } });
  assert.equal((await cluster.list(pods, signal(), 'app=web')).length, 1200);
  assert.equal(server.requests.length, 3);
  for (const { searchParams } of server.requests)
    assert.deepEqual([searchParams.get('limit'), searchParams.get('labelSelector')], ['500', 'app=web']);
});

test('what the server does not know has no objects, and one that is not there is undefined', async (t) => {
  const { cluster } = await setUp(t);
  assert.deepEqual(await cluster.list('/apis/none/v1/things', signal()), []);
  assert.equal(await cluster.get('/api/v1/namespaces/none', signal()), undefined);
});

test('what the server refuses, or does not say, is told with the path', async (t) => {
  const { server, cluster } = await setUp(t);
  const code = 'WEFT-E403';
  server.fail(pods, 'list', { status: 403, message: 'pods is forbidden' }, 'reset', 'garbage');
  await assert.rejects(cluster.list(pods, signal()), {
    code,
    message: `${pods}: the API server answers 403: pods is forbidden`,
  });
  await assert.rejects(cluster.list(pods, signal()), { code, message: /^\/api\/v1\/pods: / });
  await assert.rejects(cluster.list(pods, signal()), { code, message: /it is not JSON$/ });
  server.handlers.set('/version', () => ({ status: 200, body: {} }));
  await assert.rejects(cluster.kubernetesVersion(signal()), { code, message: /it names no version$/ });
  const url = new URL('http://127.0.0.1:1');
  const nobody = new Cluster({ url, credentials: () => Promise.resolve({ headers: {}, tls: {} }) });
  await assert.rejects(nobody.list(pods, signal()), { code, message: /ECONNREFUSED/ });
  await nobody.close();
});

test('a wait ends with its signal', async (t) => {
  const { server, cluster } = await setUp(t);
  server.fail(pods, 'list', 'silence');
  await assert.rejects(cluster.list(pods, AbortSignal.timeout(50)), { code: 'WEFT-E403' });
});

test('the time is that of the server', async (t) => {
  const { server, cluster } = await setUp(t);
  server.handlers.set('/version', () => ({ status: 200, body: { gitVersion: 'v1.36.1' } }));
  assert.ok(Math.abs((await cluster.now(signal())) - Date.now()) < 5000);
  assert.equal(await cluster.kubernetesVersion(signal()), 'v1.36.1');
});

const pod: KubeObject = { metadata: { name: 'agent', namespace: 'weft-system' } };

test('a pod that answers is heard, whatever the status', async (t) => {
  const { server, cluster } = await setUp(t);
  const ports = new TestPorts(server);
  const reasons = 'the agent is starting, and says so at length\n'.repeat(20_000);
  for (const answer of [
    { status: 200, text: 'ready\n' },
    { status: 503, text: reasons },
    { status: 404, text: '' },
  ]) {
    ports.set('weft-system/agent', 4191, (path) => (path === '/ready' ? answer : { status: 500, text: path }));
    assert.deepEqual(await cluster.askPod(pod, 4191, '/ready', signal()), answer);
  }
});

test('what the API server or the kubelet says in its place is an error, and so is silence', async (t) => {
  const { server, cluster } = await setUp(t);
  const ports = new TestPorts(server);
  const code = 'WEFT-E405';
  const ask = (within = signal()) => cluster.askPod(pod, 4191, '/ready', within);
  ports.set('weft-system/agent', 4191, 'refused');
  await assert.rejects(ask(), { code, message: /^weft-system\/agent port 4191: .*connection refused$/ });
  ports.set('weft-system/agent', 4191, { refusal: 403, message: 'pods/portforward is forbidden' });
  await assert.rejects(ask(), { code, message: /: the API server answers 403: pods\/portforward is forbidden$/ });
  ports.set('weft-system/agent', 4191, 'silent');
  await assert.rejects(ask(AbortSignal.timeout(100)), { code });
  server.onUpgrade = (_, socket) => socket.destroy();
  await assert.rejects(ask(), { code });
  server.onUpgrade = () => undefined;
  await assert.rejects(ask(AbortSignal.timeout(100)), { code });
});

test('a connection on which the API server refuses is not kept', async (t) => {
  const { server, cluster } = await setUp(t);
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  server.onUpgrade = (_, socket) => {
    socket.on('end', resolve).resume();
    socket.write('HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\n{}');
  };
  await assert.rejects(cluster.askPod(pod, 4191, '/ready', signal()), { code: 'WEFT-E405', message: /403/ });
  await ended;
});

test('what somebody may is asked of the server, by whom', async (t) => {
  const { server, cluster } = await setUp(t);
  const heard: unknown[] = [];
  for (const kind of ['self', ''] as const)
    server.handlers.set(`/apis/authorization.k8s.io/v1/${kind}subjectaccessreviews`, ({ body, headers }) => {
      heard.push(JSON.parse(body), headers['user-agent']);
      return { status: 201, body: { status: { allowed: kind === 'self' } } };
    });
  const right = { verb: 'list', group: '', resource: 'pods' };
  assert.equal(await cluster.mayI(right, signal()), true);
  assert.equal(await cluster.may('system:serviceaccount:a:b', right, signal()), false);
  const attributes = { resourceAttributes: right };
  const apiVersion = 'authorization.k8s.io/v1';
  assert.deepEqual(heard, [
    { apiVersion, kind: 'SelfSubjectAccessReview', spec: attributes },
    `weft/${version}`,
    { apiVersion, kind: 'SubjectAccessReview', spec: { user: 'system:serviceaccount:a:b', ...attributes } },
    `weft/${version}`,
  ]);
});
