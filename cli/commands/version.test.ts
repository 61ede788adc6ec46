import assert from 'node:assert/strict';
import { test } from 'node:test';

import { version } from '../../mesh/version.ts';
import { TestCluster, addInstallation, addNodes, paths, seriesOf } from '../cluster/test-cluster.ts';
import { testSurroundings } from '../test-surroundings.ts';
import { weft } from '../weft.ts';
import { commands } from './all.ts';

async function run(...args: readonly string[]) {
  const surroundings = testSurroundings({});
  const status = await weft(commands, ['version', ...args], surroundings);
  return { status, ...surroundings.written() };
}

test('its own version needs no cluster', async () => {
  assert.deepEqual(await run('--client', '--kubeconfig', '/not/there'), {
    status: 0,
    out: `Client version: ${version}\n`,
    err: '',
  });
  assert.equal((await run('--client', '--short')).out, `${version}\n`);
});

test('what runs in the cluster tells its version itself', async (t) => {
  const cluster = await TestCluster.start(t);
  addNodes(cluster);
  const { controller, agents } = addInstallation(cluster);
  const kubeconfig = ['--kubeconfig', cluster.kubeconfig(t)];
  assert.equal((await run(...kubeconfig)).out, `Client version: ${version}\nServer version: ${version}\n`);
  for (const admin of [controller, agents[1]]) {
    admin?.metrics.delete(seriesOf('weft_build_info', { version }));
    admin?.metrics.set(seriesOf('weft_build_info', { version: '0.0.9' }), '1');
  }
  assert.equal(
    (await run('--proxy', ...kubeconfig)).out,
    `Client version: ${version}\nServer version: 0.0.9\nAgent version: 0.0.9 (1 nodes)\nAgent version: ${version} (1 nodes)\n`,
  );
  cluster.silence('agent-node-2', 4191);
  assert.equal((await run('--proxy', '--short', ...kubeconfig)).out, `${version}\n0.0.9\n${version}\nunavailable\n`);
});

test('a control plane that cannot be asked is unavailable, and the reason is told', async (t) => {
  const cluster = await TestCluster.start(t);
  const kubeconfig = ['--kubeconfig', cluster.kubeconfig(t)];
  const unavailable = `Client version: ${version}\nServer version: unavailable\n`;
  const absent = await run(...kubeconfig);
  assert.deepEqual([absent.status, absent.out], [1, unavailable]);
  assert.match(absent.err, /^weft: WEFT-E404 there is no control plane in the namespace "weft-system"\. Install Weft/);

  addInstallation(cluster);
  cluster.silence('controller-1', 9990);
  const silent = await run(...kubeconfig);
  assert.deepEqual([silent.status, silent.out], [1, unavailable]);
  assert.match(silent.err, /^weft: WEFT-E405 weft-system\/controller-1 port 9990: .*refused/);

  cluster.remove(paths.ownPods, 'controller-1');
  assert.match((await run(...kubeconfig)).err, /WEFT-E404 no controller runs/);
});
