import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';

import { noChoices } from './choices.ts';
import { HelmRenderer } from './helm.ts';
import { testHelm } from './test-helm.ts';

const rendering = { chart: 'weft', namespace: 'mesh', choices: noChoices } as const;
const signal = () => AbortSignal.timeout(10_000);

test('values files come in their order, before what is set, and are gone afterwards', async (t) => {
  const helm = testHelm(t);
  const choices = { values: ['a: 1\n', 'b: 2\n'], set: ['c=3', 'd=4'], setString: ['e=5'] };
  const text = await new HelmRenderer(helm.environment).render({ ...rendering, choices }, signal());
  assert.match(text, /kind: Deployment[^]*data:\n {2}a: 1\n[^]*data:\n {2}b: 2\n$/);
  const [call = ''] = helm.calls();
  const [, first = '', second = ''] = /--values (\S+) --values (\S+)/.exec(call) ?? [];
  assert.equal(
    call.replace(first, 'A').replace(second, 'B'),
    `template weft ${helm.folder}/charts/weft --namespace mesh --values A --values B --set c=3 --set d=4 --set-string e=5`,
  );
  assert.deepEqual([existsSync(first), existsSync(second)], [false, false]);
});

test('what Helm says against it is told', async (t) => {
  const helm = testHelm(t);
  const renderer = new HelmRenderer(helm.environment);
  helm.answer('echo "Error: values do not meet the schema" >&2; exit 1');
  const code = 'WEFT-E406';
  await assert.rejects(renderer.render(rendering, signal()), { code, message: /do not meet the schema$/ });
  helm.answer('exit 3');
  await assert.rejects(renderer.render(rendering, signal()), { code, message: /status 3$/ });
  helm.answer('exec sleep 60');
  await assert.rejects(renderer.render(rendering, AbortSignal.timeout(100)), { code, message: /did not end/ });
});

test('a Helm or a chart that is not there is named', async (t) => {
  const { environment } = testHelm(t);
  const code = 'WEFT-E406';
  await assert.rejects(new HelmRenderer({ ...environment, WEFT_HELM: '/no/helm' }).render(rendering, signal()), {
    code,
    message: '"/no/helm" is not there',
  });
  const without = new HelmRenderer({ ...environment, WEFT_CHARTS: '/no/charts' });
  await assert.rejects(without.render(rendering, signal()), { code, message: 'there is no chart at /no/charts/weft' });
  const renderer = new HelmRenderer(environment);
  assert.throws(() => renderer.carriedValues('weft', 'values-none.yaml'), { code });
});
