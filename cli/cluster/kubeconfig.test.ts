import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { openKubeconfig } from './kubeconfig.ts';
import { kubeconfigText } from './test-cluster.ts';

function files(t: TestContext, ...names: readonly string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'weft-kubeconfig-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const paths = names.map((name) => {
    const path = join(folder, name);
    mkdirSync(join(path, '..'), { recursive: true });
    const short = name.replaceAll(/\W/g, '');
    writeFileSync(
      path,
      kubeconfigText({ name: short, server: `https://${short}.example`, user: { token: `of-${short}` } }),
    );
    return path;
  });
  return { folder, paths };
}

const code = 'WEFT-E402';

test('the flag beats KUBECONFIG, which beats the home folder', async (t) => {
  const { folder, paths } = files(t, 'flag', 'variable', '.kube/config');
  const [flag, variable = ''] = paths;
  const environment = { KUBECONFIG: variable, HOME: folder };
  const access = openKubeconfig({ kubeconfig: flag }, environment);
  assert.equal(access.url.host, 'flag.example');
  assert.deepEqual((await access.credentials()).headers, { authorization: 'Bearer of-flag' });
  assert.equal(openKubeconfig({}, environment).url.host, 'variable.example');
  assert.equal(openKubeconfig({}, { HOME: folder }).url.host, 'kubeconfig.example');
  assert.equal(openKubeconfig({}, { HOME: folder, KUBECONFIG: '' }).url.host, 'kubeconfig.example');
});

test('KUBECONFIG may list files: the first names the context, all their contexts may be chosen, absent ones do not count', (t) => {
  const { folder, paths } = files(t, 'a', 'b');
  const environment = { KUBECONFIG: [join(folder, 'absent'), '', ...paths].join(delimiter) };
  assert.equal(openKubeconfig({}, environment).url.host, 'a.example');
  assert.equal(openKubeconfig({ context: 'b' }, environment).url.host, 'b.example');
});

test('whom to act as goes with every request', async (t) => {
  const [kubeconfig] = files(t, 'a').paths;
  const { headers } = await openKubeconfig({ kubeconfig, as: 'jane', asGroup: 'admins' }).credentials();
  assert.deepEqual(headers, {
    authorization: 'Bearer of-a',
    'impersonate-user': 'jane',
    'impersonate-group': 'admins',
  });
  assert.throws(() => openKubeconfig({ kubeconfig, asGroup: 'admins' }), { code, message: '--as-group needs --as' });
});

test('what cannot be used is named', (t) => {
  const { folder, paths } = files(t, 'a', 'broken');
  const [a, broken = ''] = paths;
  writeFileSync(broken, '{ no yaml');
  assert.throws(() => openKubeconfig({ kubeconfig: '/not/there' }), { code, message: /^\/not\/there cannot be read/ });
  assert.throws(() => openKubeconfig({ kubeconfig: broken }), { code, message: /broken cannot be read/ });
  assert.throws(() => openKubeconfig({ kubeconfig: a, context: 'z' }), {
    code,
    message: 'there is no context "z"; there are: a',
  });
  assert.throws(() => openKubeconfig({}, { KUBECONFIG: '/not/there' }), { code, message: /none of the files/ });
  assert.throws(() => openKubeconfig({}, { HOME: join(folder, 'nobody') }), {
    code,
    message: /there is no kubeconfig/,
  });
  writeFileSync(broken, JSON.stringify({ apiVersion: 'v1', kind: 'Config', clusters: [], users: [], contexts: [] }));
  assert.throws(() => openKubeconfig({ kubeconfig: broken }), { code, message: /no cluster/ });
});
