import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import type { TestInstallation } from '../cluster/test-cluster.ts';
import { TestCluster, addInstallation, addNodes } from '../cluster/test-cluster.ts';
import { testSurroundings } from '../test-surroundings.ts';
import { weft } from '../weft.ts';
import { commands } from './all.ts';

async function installation(t: TestContext): Promise<TestInstallation & { readonly kubeconfig: string }> {
  const cluster = await TestCluster.start(t);
  addNodes(cluster);
  return { ...addInstallation(cluster), kubeconfig: cluster.kubeconfig(t) };
}

async function run(args: readonly string[], isTerminal = false) {
  const surroundings = testSurroundings({ isTerminal });
  const status = await weft(commands, args, surroundings);
  return { status, ...surroundings.written() };
}

test('a table of categories, with a last line that says how it is', async (t) => {
  const { kubeconfig, agents } = await installation(t);
  const args = ['check', '--kubeconfig', kubeconfig, '--wait', '0'];
  const green = await run(args);
  assert.match(
    green.out,
    /^kubernetes-api\n-{14}\n√ can initialize the client\n√ can query the Kubernetes API\n\nkubernetes-version\n/,
  );
  assert.match(green.out, /\n\nStatus check results are √\n$/);
  assert.equal(/[×‼\u001b]/.test(green.out), false);
  assert.deepEqual([green.status, green.err], [0, '']);

  agents[0]?.metrics.set('weft_directory_connected', '0');
  const red = await run(args);
  assert.match(
    red.out,
    /\n× agents are connected to the controller\n {4}node-1: it is not connected\n {4}Look for WEFT-E306 .*\n {4}see docs\/checks\.md#weft-agent-connected for hints\n√ all workers run\n/,
  );
  assert.match(red.out, /\n\nStatus check results are ×\n$/);
  assert.equal(red.status, 1);
});

test('warnings do not fail', async (t) => {
  const { kubeconfig, controller } = await installation(t);
  controller.metrics.set('issuer_cert_ttl_seconds', '86400');
  const { out, status } = await run(['check', '--kubeconfig', kubeconfig, '--wait', '0']);
  assert.match(
    out,
    /\n‼ issuer and trust anchor are valid for at least 60 days\n {4}weft-system\/controller-1: ends in 1 days\n/,
  );
  assert.match(out, /Status check results are √\n$/);
  assert.equal(status, 0);
});

test('short tells of failures only', async (t) => {
  const { kubeconfig, agents } = await installation(t);
  const args = ['check', '--kubeconfig', kubeconfig, '--wait', '0', '-o', 'short'];
  assert.deepEqual(await run(args), { status: 0, out: 'Status check results are √\n', err: '' });
  agents[0]?.metrics.set('weft_directory_connected', '0');
  const { out, status } = await run(args);
  assert.match(out, /^weft-data-plane\n-{15}\n× agents are connected [^√]*\n\nStatus check results are ×\n$/);
  assert.equal(status, 1);
});

test('json has the form that users of Linkerd know, with an id', async (t) => {
  const { kubeconfig, agents } = await installation(t);
  agents[0]?.metrics.set('weft_directory_connected', '0');
  const { out, status } = await run(['check', '--kubeconfig', kubeconfig, '--wait', '0', '-o', 'json']);
  const report = JSON.parse(out) as {
    success: boolean;
    categories: { categoryName: string; checks: Record<string, string>[] }[];
  };
  assert.deepEqual([report.success, status], [false, 1]);
  assert.equal(report.categories[0]?.categoryName, 'kubernetes-api');
  const checks = report.categories.flatMap(({ checks }) => checks);
  assert.deepEqual(checks[1], { id: 'k8s-api', description: 'can query the Kubernetes API', result: 'success' });
  assert.deepEqual(
    checks
      .filter(({ result }) => result !== 'success')
      .map(({ id, error, documentation }) => [id, error, documentation]),
    [['weft-agent-connected', 'node-1: it is not connected', 'docs/checks.md#weft-agent-connected']],
  );
});

test('without a usable kubeconfig, that is the check that fails', async () => {
  const { out, status } = await run(['check', '--kubeconfig', '/not/there', '--wait', '0', '-o', 'json']);
  const report = JSON.parse(out) as { categories: { checks: { id: string; error: string }[] }[] };
  assert.equal(status, 1);
  assert.equal(report.categories.length, 1);
  assert.match(report.categories[0]?.checks[0]?.error ?? '', /^WEFT-E402 \/not\/there cannot be read/);
});

test('colours and what is waited for are for terminals', async (t) => {
  const { kubeconfig, cluster } = await installation(t);
  cluster.silence('agent-node-1', 4191);
  const { out, err } = await run(['check', '--kubeconfig', kubeconfig, '--wait', '3500ms'], true);
  assert.match(out, /\u001b\[32m√\u001b\[0m can query/);
  assert.match(out, /\u001b\[31m×\u001b\[0m agents tell how they are/);
  assert.match(err, /^… agents tell how they are: WEFT-E405 .*\r\u001b\[K$/);
});

test('a time to wait that is none is refused', async () => {
  const { status, err } = await run(['check', '--wait', 'long']);
  assert.equal(status, 1);
  assert.match(err, /^weft: WEFT-E401 check: --wait: "long" is not a duration/);
});
