import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { ApiClient } from '../sources/kubernetes/api-client.ts';
import { FakeApiServer } from '../sources/kubernetes/fake-api-server.ts';
import { reviewerOf } from './metrics-readers.ts';

const tokenReviews = '/apis/authentication.k8s.io/v1/tokenreviews';
const accessReviews = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
const user = {
  username: 'system:serviceaccount:monitoring:prometheus',
  uid: 'u1',
  groups: ['system:serviceaccounts', 'system:authenticated'],
  extra: { 'authentication.kubernetes.io/pod-name': ['prometheus-0'] },
};

async function begin(t: TestContext, { authenticated = true, allowed = true, error = '' } = {}) {
  const server = new FakeApiServer([]);
  const api = new ApiClient(await server.listen());
  t.after(async () => {
    await api.close();
    await server.close();
  });
  const asked: unknown[] = [];
  const answer = (path: string, status: unknown) => {
    server.handlers.set(path, ({ body }) => {
      asked.push((JSON.parse(body) as { spec: unknown }).spec);
      return { status: 201, body: { status } };
    });
  };
  answer(tokenReviews, authenticated ? { authenticated, user } : { error });
  answer(accessReviews, { allowed });
  const review = (token = 'secret') => reviewerOf(api)(token, AbortSignal.timeout(5000));
  return { server, asked, review };
}

test('who has a token of the API server and may get /metrics may read', async (t) => {
  const { asked, review } = await begin(t);
  assert.equal(await review(), undefined);
  const { username, ...rest } = user;
  const nonResourceAttributes = { path: '/metrics', verb: 'get' };
  assert.deepEqual(asked, [{ token: 'secret' }, { user: username, ...rest, nonResourceAttributes }]);
});

test('a token that the API server does not know is refused, and nothing more is asked', async (t) => {
  const { asked, review } = await begin(t, { authenticated: false, error: 'token has expired' });
  const refusal = await review();
  assert.deepEqual(
    [refusal?.code, refusal?.message],
    ['WEFT-E230', 'the API server refuses the token: token has expired'],
  );
  assert.equal(asked.length, 1);
});

test('who may not get /metrics is told who it is', async (t) => {
  const { review } = await begin(t, { allowed: false });
  const refusal = await review();
  assert.deepEqual([refusal?.code, refusal?.message], ['WEFT-E231', `${user.username} may not get /metrics`]);
});

test('where the API server does not say, nobody knows', async (t) => {
  const { server, review } = await begin(t);
  server.fail(tokenReviews, 'post', { status: 403, message: 'tokenreviews is forbidden' }, 'reset', 'garbage');
  assert.match((await review())?.message ?? '', /could not be asked.*403: tokenreviews is forbidden$/);
  for (let fault = 0; fault < 2; fault++) assert.equal((await review())?.code, 'WEFT-E232');
  server.fail(accessReviews, 'post', { status: 500 });
  assert.equal((await review())?.code, 'WEFT-E232');
  server.handlers.set(accessReviews, () => ({ status: 201, body: {} }));
  assert.equal((await review())?.code, 'WEFT-E231', 'what is not allowed is forbidden');
});
