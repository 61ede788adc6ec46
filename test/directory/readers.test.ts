/** From a reader's request at an agent to what the API server says, by way of the controller. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { request } from 'node:https';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { createExpositions } from '../../admin/exposition.ts';
import { createRegistries } from '../../admin/registries.ts';
import { Controller } from '../../control-plane/controller.ts';
import { readIssuer } from '../../control-plane/identity/issuer.ts';
import { createAuthority } from '../../control-plane/identity/new-authority.ts';
import { TokenAuthority, newTokenKey } from '../../control-plane/identity/token-authority.ts';
import { agentIdentity } from '../../mesh/agent-identity.ts';
import { WeftError } from '../../mesh/errors.ts';
import { AccessClient } from '../../node-agent/main/directory/access-client.ts';
import { IdentityClient, createControllerTransport } from '../../node-agent/main/directory/controller.ts';
import { NodeIdentities } from '../../node-agent/main/identity/node-identities.ts';
import { MetricsListener } from '../../node-agent/main/metrics-listener.ts';
import { until } from './harness.ts';

const mesh = { controlPlaneNamespace: 'weft-system', trustDomain: 'cluster.local' };
const identity = agentIdentity(mesh) ?? '';
const agents = { namespace: mesh.controlPlaneNamespace, serviceAccount: 'weft-agent' };

async function begin(t: TestContext, readers?: Record<string, WeftError | undefined>) {
  const issuer = readIssuer(createAuthority(), Date.now());
  assert.ok(!(issuer instanceof WeftError));
  const tokens = new TokenAuthority({ key: newTokenKey(), ...agents });
  const problems: WeftError[] = [];
  const controller = new Controller({
    source: { start: () => Promise.resolve(), onDeltas: () => undefined, problems: () => [] },
    mesh,
    clusterNetworks: [],
    authenticator: tokens,
    ...(readers && { readers: { review: (token: string) => Promise.resolve(readers[token]) } }),
    issuer: () => issuer,
    leafLifeMs: 60_000,
    onProblem: (problem) => problems.push(problem),
  });
  const controllerPort = await controller.start(0, '127.0.0.1', AbortSignal.timeout(5000));
  let isOpen = true;
  const close = async (): Promise<void> => {
    if (isOpen) await controller.close();
    isOpen = false;
  };
  let ownToken = tokens.issue({ node: 'n1', pod: 'p' }, { lifeMs: 60_000 });
  const transport = createControllerTransport({ url: `http://127.0.0.1:${controllerPort}` });
  const token = (): Promise<string> => Promise.resolve(ownToken);
  const port = await freePort();
  const told: string[] = [];
  const listener = new MetricsListener({
    address: { host: '127.0.0.1', port },
    metrics: createExpositions(createRegistries(() => undefined)),
    review: new AccessClient(transport, token).reviewReader,
    onProblem: ({ code }) => told.push(code),
    onError: (error) => told.push(String(error)),
  });
  const certifier = new IdentityClient(transport);
  let isCertified = false;
  const identities = new NodeIdentities({
    certifier: { certify: async (csr, signal) => certifier.certify(await token(), csr, signal) },
    onCredentials: (credentials) => {
      isCertified = true;
      listener.use(credentials);
    },
  });
  t.after(async () => {
    await identities.close();
    await listener.close();
    await close();
  });
  identities.want(new Set([identity]));
  await until(() => isCertified, 'the agent has a certificate');
  const ca = issuer.anchors.map((der) => new X509Certificate(der).toString()).join('');
  const get = async (reader: string): Promise<readonly [number, string]> => {
    const { promise, resolve, reject } = Promise.withResolvers<readonly [number, string]>();
    const headers = { authorization: `Bearer ${reader}` };
    const server = { host: '127.0.0.1', port, path: '/metrics', ca, servername: identity, agent: false };
    const sent = request({ ...server, headers, timeout: 9000 }, (response) => {
      text(response).then((body) => resolve([response.statusCode ?? 0, body]), reject);
    });
    sent.on('error', reject);
    sent.end();
    return promise;
  };
  return { get, told, problems, close, loseToken: () => (ownToken = 'nonsense') };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test("readers verify an agent by the mesh's anchor and its name, and it asks the controller who they are", async (t) => {
  const { get, told, problems } = await begin(t, {
    prometheus: undefined,
    stranger: new WeftError('WEFT-E231', 'system:serviceaccount:shop:web may not get /metrics'),
    nonsense: new WeftError('WEFT-E230', 'the API server refuses the token'),
  });
  const [status, body] = await get('prometheus');
  assert.equal(status, 200);
  assert.match(body, /^process_uptime_seconds_total /m);
  assert.deepEqual((await get('stranger'))[0], 403);
  assert.match((await get('stranger'))[1], /^WEFT-E231 system:serviceaccount:shop:web may not get \/metrics\. /);
  assert.deepEqual((await get('nonsense'))[0], 401);
  assert.deepEqual([told, problems], [[], []], 'strangers fill no log');
});

test('where the controller has no API server to ask, or is away, nobody reads', async (t) => {
  const { get, told, close } = await begin(t);
  assert.match((await get('prometheus')).join(' '), /^503 WEFT-E232\. /);
  await close();
  assert.match((await get('somebody')).join(' '), /^503 WEFT-E306\. /);
  assert.deepEqual(told, ['WEFT-E232', 'WEFT-E306']);
});

test("the controller asks nobody without an agent's token", async (t) => {
  const { get, told, problems, loseToken } = await begin(t, { prometheus: undefined });
  loseToken();
  assert.equal((await get('prometheus'))[0], 503);
  assert.deepEqual([told, problems.map(({ code }) => code)], [['WEFT-E206'], ['WEFT-E206']]);
});
