import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { createControllerTransport } from '../../node-agent/main/directory/controller.ts';
import { cacheFile, startAgent, startController, until } from './harness.ts';

const serverName = 'weft-controller.weft.serviceaccount.identity.weft.cluster.local';

function selfSigned(t: TestContext): { key: string; cert: string } {
  const folder = dirname(cacheFile(t));
  const [key, cert] = [join(folder, 'key'), join(folder, 'cert')];
  const subject = ['-subj', '/CN=test', '-addext', `subjectAltName=DNS:${serverName}`];
  const keyType = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  execFileSync('openssl', ['req', '-x509', ...keyType, '-keyout', key, '-out', cert, '-days', '2', ...subject], {
    stdio: 'ignore',
  });
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

test('an agent speaks only to a controller whose certificate is of the trusted anchor and has the right name', async (t) => {
  const tls = selfSigned(t);
  const stranger = selfSigned(t);
  const controller = await startController(t, {}, { tls });
  controller.shop('n1');
  const url = `https://127.0.0.1:${controller.port}`;
  const agentOf = (ca: string, name: string): ReturnType<typeof startAgent> =>
    startAgent(t, 'n1', controller.port, {
      transport: createControllerTransport({ url, tls: { ca: () => ca, serverName: name } }),
    });

  const wrongName = await agentOf(tls.cert, 'somebody-else.test');
  const wrongAnchor = await agentOf(stranger.cert, serverName);
  await until(
    () => wrongName.problems.length > 0 && wrongAnchor.problems.length > 0,
    'both say why they do not connect',
  );
  assert.ok(!wrongName.client.isConnected && !wrongAnchor.client.isConnected);
  await Promise.all([wrongName.stop(), wrongAnchor.stop()]);
  assert.deepEqual(controller.errors, [], 'no token has been shown');

  const agent = await agentOf(tls.cert, serverName);
  agent.client.lookUp('10.96.0.1', 80);
  await until(() => agent.destinations.has('10.96.0.1:80'), 'the service is answered');
});

test('the anchors that the controller is verified by are read again at each connect', async (t) => {
  const [before, after] = [selfSigned(t), selfSigned(t)];
  const controller = await startController(t, {}, { tls: after });
  let ca = before.cert;
  const transport = createControllerTransport({
    url: `https://127.0.0.1:${controller.port}`,
    tls: { ca: () => ca, serverName },
  });
  const agent = await startAgent(t, 'n1', controller.port, { transport });
  await until(() => agent.problems.length > 0, 'it says why it does not connect');
  ca = after.cert;
  await until(() => agent.client.isConnected, 'it connects');
});
