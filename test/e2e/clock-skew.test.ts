import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { LabAgent } from '../lab/agent.ts';
import { LabController } from '../lab/controller.ts';
import { Lab } from '../lab/lab.ts';
import type { LabNode } from '../lab/node.ts';
import type { LabPod } from '../lab/pod.ts';
import { churn, echo, meshPlugin, waitUntil } from './helpers.ts';

const libfaketime = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';

describe('clocks that differ', () => {
  let lab: Lab;
  let controller: LabController;
  let client: LabPod;
  let server: LabPod | undefined;
  let skewed: LabNode;

  before(async () => {
    lab = await Lab.up({
      nodes: ['a', 'b', 'c'],
      meshPlugin,
      unmeshedNodes: ['c'],
      namespaces: [{ name: 'shop', labels: { 'weft.dev/mesh': 'enabled' } }],
    });
    skewed = lab.node('b');
    controller = await LabController.start(lab.node('c'));
    const right = await LabAgent.start(lab.node('a'), { flags: controller.flagsFor(lab.node('a')) });
    client = await lab.node('a').addPod({ name: 'client', namespace: 'shop', serviceAccount: 'client' });
    await right.enrolled('client');
    await echo(client, 9000);
  });

  after(async () => {
    assert.deepEqual(await lab.down(), []);
  });

  /** An agent of node b with its clock off by so many seconds; takes over from the one that runs. */
  async function startSkewed(seconds: number): Promise<LabAgent> {
    const env = {
      LD_PRELOAD: libfaketime,
      FAKETIME: `${seconds < 0 ? '' : '+'}${seconds}s`,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    };
    // What an earlier agent of the boot left would have been measured by another clock.
    await skewed.run(['rm', '-f', `${skewed.runDir}/leaves.json`]);
    return LabAgent.start(skewed, { flags: controller.flagsFor(skewed), env });
  }

  async function admin(path: string): Promise<string> {
    return (await skewed.run(['curl', '-s', '-w', ' %{http_code}', `http://127.0.0.1:4191${path}`])).stdout;
  }

  async function measuredSkew(): Promise<number> {
    return Number(/^weft_clock_skew_seconds (\S+)$/m.exec(await admin('/metrics'))?.[1]);
  }

  for (const seconds of [15, -15]) {
    test(`${seconds} s: nothing fails, and the agent is ready`, async () => {
      const agent = await startSkewed(seconds);
      if (server === undefined) {
        server = await skewed.addPod({ name: 'server', namespace: 'shop', serviceAccount: 'server' });
        await agent.enrolled('server');
        await echo(server, 9000);
      }
      await waitUntil(async () => (await admin('/ready')) === 'ready\n 200', 15_000, 'ready');
      await waitUntil(
        async () => (await churn(client, server?.ipv4 ?? '', 9000, 1, 1, 0)).failed === 0,
        15_000,
        'known',
      );
      assert.deepEqual((await churn(client, server.ipv4, 9000, 200, 4, 0)).errors, {});
      assert.deepEqual((await churn(server, client.ipv4, 9000, 200, 4, 0)).errors, {});
      assert.ok(Math.abs((await measuredSkew()) - seconds) < 3, String(await measuredSkew()));
    });
  }

  test('an hour ahead: named in the log, in /ready and as a metric', async () => {
    const agent = await startSkewed(3600);
    const line = await agent.waitForLine((one) => one['code'] === 'WEFT-E220', 20_000);
    assert.match(String(line['error']), /is 3(?:599|600|601) s ahead of the clock of the controller/);
    assert.match(await admin('/ready'), /^WEFT-E220 .* s ahead of .* 503$/s);
    assert.ok(Math.abs((await measuredSkew()) - 3600) < 3, String(await measuredSkew()));
  });

  // Then not even the controller's certificate is valid yet, so nothing can be measured.
  test('an hour behind: named in the log and in /ready', async () => {
    const agent = await startSkewed(-3600);
    const line = await agent.waitForLine((one) => one['code'] === 'WEFT-E220', 20_000);
    assert.match(String(line['error']), /by the clock of this node the certificate of the controller is not valid yet/);
    assert.match(await admin('/ready'), /^WEFT-E220 by the clock of this node .* 503$/s);
  });
});
