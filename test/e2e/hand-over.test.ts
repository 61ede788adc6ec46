/** Agents in containers, as those of a DaemonSet, are replaced under traffic of all kinds, on new connections and on kept ones. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';

import type { LabPod } from '../lab/pod.ts';
import type { Failure, KindOfTraffic, TrafficResult } from '../tools/traffic-result.ts';
import { answered } from './curl.ts';
import { hold } from './helpers.ts';
import { LabMesh } from './mesh.ts';
import { Traffic, failuresOf, trafficServer } from './traffic.ts';

const rounds = Number(process.env['WEFT_SOAK'] ?? 2);
const perSecond = Number(process.env['WEFT_RATE'] ?? 20);
const stopMs = 12_000;
const graceMs = 30_000;
/** After an end. */
const noticedMs = 1000;
/** Without an agent, and then until SYNs that were dropped have come again. */
const awayMs = 1500;
const settleMs = 4000;
const short = ['http-new', 'http-kept', 'grpc-new', 'grpc-kept', 'tcp-new'] as const;
const long = ['tcp-kept', 'grpc-stream'] as const;

describe('agents in containers', () => {
  let mesh: LabMesh;
  let client: LabPod;
  /** On the client's node, and on the other one. */
  let servers: { near: LabPod; far: LabPod };

  before(async () => {
    mesh = await LabMesh.up({ inContainers: true, agentFlags: ['--stop-timeout', `${stopMs}ms`] });
    const pods = await mesh.addClientAndServers();
    client = pods.client;
    servers = { near: pods.neighbour, far: pods.server };
    for (const pod of [servers.near, servers.far]) {
      await trafficServer(pod);
      await answered(client, `http://${pod.ipv4}:8081/`);
    }
  });

  after(async () => {
    assert.deepEqual(await mesh.lab.down(), []);
  });

  async function under(
    t: TestContext,
    kinds: readonly KindOfTraffic[],
    happen: () => Promise<void>,
  ): Promise<{ near: TrafficResult; far: TrafficResult }> {
    const near = await Traffic.start(client, servers.near, perSecond, ...kinds);
    const far = await Traffic.start(client, servers.far, perSecond, ...kinds);
    await delay(500);
    await happen();
    await delay(500);
    const results = { near: await near.stop(), far: await far.stop() };
    for (const [where, result] of Object.entries(results)) {
      for (const [kind, { attempts, failures }] of Object.entries(result))
        t.diagnostic(`${where} ${kind}: ${attempts}, of which ${failures.length} failed ${describeFailures(failures)}`);
    }
    return results;
  }

  test('rolled out: nothing fails that ends by itself, and what is open goes on until it is cut', async (t) => {
    const rolled: number[] = [];
    const { near, far } = await under(t, [...short, ...long], async () => {
      for (let round = 0; round < rounds; round++) {
        for (const node of ['a', 'b']) {
          rolled.push(Date.now());
          await mesh.rollAgent(node, graceMs);
        }
      }
    });
    t.diagnostic(`rolled at ${rolled.join(', ')}`);
    for (const result of [near, far]) {
      assert.deepEqual(failuresOf(result, ...short), [], mesh.troubles());
      for (const { at, lastedMs, error } of failuresOf(result, ...long)) {
        const broke = at + lastedMs;
        const since = Math.min(...rolled.map((time) => broke - time).filter((ms) => ms > noticedMs));
        assert.ok(since >= stopMs, `${error}, ${since} ms after the next agent was started`);
      }
    }
  });

  test('a pod that has left ends its last connection by an agent that stands aside: what else is open there goes on', async () => {
    const leaver = await mesh.addMeshed('b', 'leaver', 'server');
    await trafficServer(leaver);
    await answered(client, `http://${leaver.ipv4}:8081/`);
    const ending = await hold(client, leaver.ipv4, 8083, 4);
    const staying = await hold(client, servers.far.ipv4, 8083, 4);
    mesh.lab.objects.setPod(leaver, { labels: { 'weft.dev/mesh': 'disabled' } });
    await mesh.agent('b').waitForLine(({ msg, pod }) => msg === 'pod left the mesh' && pod === 'leaver', 15_000);
    const earlier = mesh.agent('b');
    await mesh.startAgent('b');
    assert.deepEqual((await ending.finish()).errors, {});
    await delay(noticedMs);
    assert.equal(earlier.process.exitCode, null, earlier.transcript());
    assert.deepEqual((await staying.finish()).errors, {});
    await earlier.stop(graceMs);
  });

  test('killed without grace: what breaks was open, and nothing is refused', async (t) => {
    for (const node of ['a', 'b']) {
      let killedBy = 0;
      const results = await under(t, [...short, ...long], async () => {
        await mesh.killAgent(node);
        killedBy = Date.now();
        await delay(awayMs);
        await mesh.startAgent(node);
        await delay(settleMs);
      });
      for (const result of Object.values(results)) {
        const failures = failuresOf(result, ...short, ...long);
        const isLater = ({ at, error }: Failure): boolean =>
          at > killedBy + noticedMs || error.includes('ECONNREFUSED');
        const later = failures.filter(isLater);
        assert.deepEqual(later, [], `killed by ${killedBy}`);
        // Of those that begin a few at a time hardly any is under way.
        assert.ok(failures.length <= 10, JSON.stringify(failures));
      }
    }
  });
});

function describeFailures(failures: readonly Failure[]): string {
  return failures.length === 0 ? '' : JSON.stringify(failures.slice(0, 12));
}
