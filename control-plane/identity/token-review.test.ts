import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { WeftError } from '../../mesh/errors.ts';
import { ApiClient } from '../sources/kubernetes/api-client.ts';
import { FakeApiServer } from '../sources/kubernetes/fake-api-server.ts';
import { TokenReviewAuthenticator } from './token-review.ts';

const reviews = '/apis/authentication.k8s.io/v1/tokenreviews';
const podPath = '/api/v1/namespaces/weft-system/pods/weft-agent-x1';
const username = 'system:serviceaccount:weft-system:weft-agent';
const prefix = 'authentication.kubernetes.io';
const withoutNode = { [`${prefix}/pod-name`]: ['weft-agent-x1'], [`${prefix}/pod-uid`]: ['uid-1'] };
const extra = { ...withoutNode, [`${prefix}/node-name`]: ['node-1'] };
const good = { authenticated: true, audiences: ['weft.dev'], user: { username, extra } };
const unbound = { ...good, user: { username, extra: withoutNode } };
const start = 1_800_000_000_000;
const claims = { aud: ['weft.dev'], sub: username, exp: start / 1000 + 3600 };

function tokenOf(payload: unknown, id = 'signature'): string {
  return ['{}', JSON.stringify(payload), id].map((part) => Buffer.from(part).toString('base64url')).join('.');
}

interface Setting {
  readonly authenticator: TokenReviewAuthenticator;
  readonly server: FakeApiServer;
  readonly asked: unknown[];
  readonly outcome: (token: string) => Promise<string>;
  now: number;
}

async function begin(t: TestContext, status: () => unknown = () => good): Promise<Setting> {
  const server = new FakeApiServer([]);
  const api = new ApiClient(await server.listen());
  t.after(async () => {
    await api.close();
    await server.close();
  });
  const asked: unknown[] = [];
  server.handlers.set(reviews, ({ body }) => {
    asked.push(JSON.parse(body));
    return { status: 201, body: { kind: 'TokenReview', status: status() } };
  });
  const authenticator = new TokenReviewAuthenticator({
    ...{ api, namespace: 'weft-system', serviceAccount: 'weft-agent' },
    now: () => setting.now,
  });
  const outcome = async (token: string): Promise<string> => {
    const result = await authenticator.authenticate(token, AbortSignal.timeout(8000));
    return result instanceof WeftError ? result.code : result.node;
  };
  const setting: Setting = { authenticator, server, asked, outcome, now: start };
  return setting;
}

test('the API server is asked, for our audience alone, and says on which node the agent is', async (t) => {
  const { outcome, asked } = await begin(t);
  const token = tokenOf(claims);
  assert.equal(await outcome(token), 'node-1');
  assert.deepEqual(asked, [
    { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token, audiences: ['weft.dev'] } },
  ]);
});

test('a token that cannot be an agent’s never reaches the API server', async (t) => {
  const { outcome, asked } = await begin(t);
  for (const [token, code] of [
    ['', 'WEFT-E206'],
    ['a.b', 'WEFT-E206'],
    ['a.b.c', 'WEFT-E206'],
    ['x'.repeat(20_000), 'WEFT-E206'],
    [`${tokenOf(claims)}\r\nx`, 'WEFT-E206'],
    [tokenOf({ ...claims, aud: ['https://kubernetes.default.svc'] }), 'WEFT-E208'],
    [tokenOf({ ...claims, sub: 'system:serviceaccount:shop:web' }), 'WEFT-E209'],
    [tokenOf(null), 'WEFT-E208'],
  ] as const) {
    assert.equal(await outcome(token), code, token.slice(0, 100));
  }
  assert.equal(asked.length, 0);
});

test('what the API server says counts, whatever the token claims', async (t) => {
  let status: unknown;
  const setting = await begin(t, () => status);
  let id = 0;
  for (const [said, code] of [
    [{ authenticated: false, error: 'invalid bearer token' }, 'WEFT-E206'],
    [{}, 'WEFT-E206'],
    [undefined, 'WEFT-E206'],
    [{ ...good, authenticated: 'true' }, 'WEFT-E206'],
    [{ ...good, audiences: undefined }, 'WEFT-E208'],
    [{ ...good, audiences: ['other'] }, 'WEFT-E208'],
    [{ ...good, user: { username: 'system:serviceaccount:shop:web', extra } }, 'WEFT-E209'],
    [{ ...good, user: { username } }, 'WEFT-E209'],
    [{ ...good, user: { username, extra: { ...extra, [`${prefix}/pod-name`]: [] } } }, 'WEFT-E209'],
    [{ ...good, user: { username, extra: { ...extra, [`${prefix}/pod-name`]: ['a', 'b'] } } }, 'WEFT-E209'],
    [good, 'node-1'],
  ] as const) {
    status = said;
    assert.equal(await setting.outcome(tokenOf(claims, `${++id}`)), code, JSON.stringify(said));
  }
  status = { authenticated: false };
  setting.now += 3_600_000;
  assert.equal(await setting.outcome(tokenOf(claims, 'old')), 'WEFT-E207');
});

test('the node of a token that names none is that of its pod, and of no other of the name', async (t) => {
  const { outcome, server } = await begin(t, () => unbound);
  const podOf = (uid: string, spec: object) => () => ({ status: 200, body: { metadata: { uid }, spec } });
  server.handlers.set(podPath, podOf('uid-1', { nodeName: 'node-7' }));
  assert.equal(await outcome(tokenOf(claims, 'a')), 'node-7');
  server.handlers.set(podPath, podOf('uid-2', { nodeName: 'node-7' }));
  assert.equal(await outcome(tokenOf(claims, 'b')), 'WEFT-E209');
  server.handlers.set(podPath, podOf('uid-1', {}));
  assert.equal(await outcome(tokenOf(claims, 'c')), 'WEFT-E209');
  server.handlers.delete(podPath);
  assert.equal(await outcome(tokenOf(claims, 'd')), 'WEFT-E210');
});

test('who cannot ask does not know', async (t) => {
  const { outcome, server, authenticator } = await begin(t);
  server.fail(reviews, 'post', { status: 401 }, { status: 403 }, { status: 429 }, { status: 500 }, 'reset', 'garbage');
  for (let i = 0; i < 6; i++) assert.equal(await outcome(tokenOf(claims)), 'WEFT-E210');
  assert.equal(await outcome(tokenOf(claims)), 'node-1', 'no failure is kept');
  const result = await authenticator.authenticate(tokenOf(claims, 'x'), AbortSignal.timeout(5000));
  assert.ok(!(result instanceof WeftError));
});

test('a good answer counts for a few seconds, a bad one not at all, and many callers ask once', async (t) => {
  let status: unknown = good;
  const setting = await begin(t, () => status);
  const { asked, outcome } = setting;
  const token = tokenOf(claims);
  assert.deepEqual(await Promise.all([outcome(token), outcome(token), outcome(token)]), Array(3).fill('node-1'));
  assert.equal(asked.length, 1);
  status = { authenticated: false };
  setting.now += 9_999;
  assert.equal(await outcome(token), 'node-1');
  setting.now += 1;
  assert.equal(await outcome(token), 'WEFT-E206', 'its pod is deleted');
  status = good;
  assert.equal(await outcome(token), 'node-1');
  assert.equal(asked.length, 3);
});

test('no answer outlives its token', async (t) => {
  let status: unknown = good;
  const setting = await begin(t, () => status);
  const token = tokenOf({ ...claims, exp: start / 1000 + 2 });
  assert.equal(await setting.outcome(token), 'node-1');
  status = { authenticated: false };
  setting.now += 2000;
  assert.equal(await setting.outcome(token), 'WEFT-E207');
});

test('no more than 64 are asked for at once', async (t) => {
  const { outcome, server } = await begin(t);
  server.fail(reviews, 'post', ...Array<{ delayMs: number }>(100).fill({ delayMs: 100 }));
  const outcomes = await Promise.all(Array.from({ length: 100 }, (_, i) => outcome(tokenOf(claims, `${i}`))));
  assert.equal(outcomes.filter((one) => one === 'node-1').length, 64);
  assert.equal(outcomes.filter((one) => one === 'WEFT-E210').length, 36);
});

test('a caller that leaves does not wait, and a refusal does not show the token', async (t) => {
  const { authenticator, server } = await begin(t, () => ({ authenticated: false }));
  const token = tokenOf(claims, 'secret-signature');
  server.fail(reviews, 'post', { delayMs: 300 });
  const begun = performance.now();
  await assert.rejects(authenticator.authenticate(token, AbortSignal.timeout(20)));
  assert.ok(performance.now() - begun < 250);
  const result = await authenticator.authenticate(token, AbortSignal.timeout(5000));
  assert.ok(result instanceof WeftError && !result.message.includes(token.slice(-15)));
});
