import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { TrustBundle } from '../../node-agent/main/directory/directory-client.ts';
import { cacheFile, startAgent, startController, until } from './harness.ts';

const bytes = (text: string): Buffer => Buffer.from(text);
const texts = ({ anchors, issuer }: TrustBundle): string[] =>
  [...anchors, issuer].map((certificate) => Buffer.from(certificate).toString());

test('agents are told whom the mesh trusts when they connect and at each change, and know it without the controller', async (t) => {
  const controller = await startController(t);
  controller.trust = { anchors: [bytes('a1')], certificate: bytes('i1') };
  const told: string[][] = [];
  const onTrustBundle = (bundle: TrustBundle): void => void told.push(texts(bundle));
  const cachePath = cacheFile(t);
  const agent = await startAgent(t, 'n1', controller.port, { onTrustBundle }, cachePath);
  await until(() => told.length === 1, 'it is told after Welcome');
  controller.trust = { anchors: [bytes('a1'), bytes('a2')], certificate: bytes('i2') };
  controller.directory.trustChanged();
  await until(() => told.length === 2, 'it is told of the change');
  assert.deepEqual(told, [
    ['a1', 'i1'],
    ['a1', 'a2', 'i2'],
  ]);
  await agent.stop();
  await controller.close();

  told.length = 0;
  await startAgent(t, 'n1', controller.port, { onTrustBundle }, cachePath);
  assert.deepEqual(told, [['a1', 'a2', 'i2']]);
});

test('a bundle without anchors is not believed', async (t) => {
  const controller = await startController(t);
  const told: string[][] = [];
  const agent = await startAgent(t, 'n1', controller.port, {
    onTrustBundle: (bundle) => void told.push(texts(bundle)),
  });
  await until(() => agent.client.isConnected, 'it is connected');
  controller.trust = { anchors: [bytes('a')], certificate: bytes('i') };
  controller.directory.trustChanged();
  await until(() => told.length > 0, 'it is told');
  assert.deepEqual(told, [['a', 'i']]);
});
