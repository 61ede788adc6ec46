import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { parseAllDocuments } from 'yaml';

import { readIssuer } from '../../control-plane/identity/issuer.ts';
import { createAuthority } from '../../control-plane/identity/new-authority.ts';
import { WeftError } from '../../mesh/errors.ts';
import { TestCluster, addInstallation, addNodes, ownNamespace, paths } from '../cluster/test-cluster.ts';
import { choicesSecret } from '../install/choices.ts';
import type { TestHelm } from '../install/test-helm.ts';
import { testHelm } from '../install/test-helm.ts';
import { testSurroundings } from '../test-surroundings.ts';
import { weft } from '../weft.ts';
import { commands } from './all.ts';

const crds = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';
const secrets = `${paths.namespaces}/${ownNamespace}/secrets`;

interface Document {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly data?: Record<string, unknown>;
}

interface SetUp {
  readonly cluster: TestCluster;
  readonly helm: TestHelm;
  readonly run: (
    ...args: readonly string[]
  ) => Promise<{ status: number; out: string; err: string; documents: Document[] }>;
}

async function setUp(t: TestContext): Promise<SetUp> {
  const cluster = await TestCluster.start(t);
  addNodes(cluster);
  const helm = testHelm(t);
  const kubeconfig = cluster.kubeconfig(t);
  return {
    cluster,
    helm,
    run: async (...args) => {
      const surroundings = testSurroundings({ environment: { ...helm.environment, KUBECONFIG: kubeconfig } });
      const status = await weft(commands, args, surroundings);
      const { out, err } = surroundings.written();
      return { status, out, err, documents: parseAllDocuments(out).map((one) => one.toJS() as Document) };
    },
  };
}

function addCrds(cluster: TestCluster): void {
  cluster.put(crds, { metadata: { name: 'servers.policy.linkerd.io' } });
}

interface IssuerValues {
  readonly identityTrustAnchorsPEM: string;
  readonly identity: { readonly issuer: { readonly tls: { readonly crtPEM: string; readonly keyPEM: string } } };
}

/** What the chart was given, by its ConfigMaps. */
function valuesIn(documents: readonly Document[]): unknown[] {
  return documents.filter(({ kind }) => kind === 'ConfigMap').map(({ data }) => data);
}

function issuerIn(documents: readonly Document[]) {
  const values = valuesIn(documents)[0] as IssuerValues;
  const { crtPEM: certificates, keyPEM: key } = values.identity.issuer.tls;
  return { anchors: values.identityTrustAnchorsPEM, certificates, key };
}

function asSecret(issuer: { anchors: string; certificates: string; key: string }) {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const data = {
    'ca.crt': base64(issuer.anchors),
    'tls.crt': base64(issuer.certificates),
    'tls.key': base64(issuer.key),
  };
  return { metadata: { name: 'weft-issuer' }, data };
}

test('install prints a namespace, what the chart makes with an issuer of its own, and what was chosen', async (t) => {
  const { cluster, helm, run } = await setUp(t);
  addCrds(cluster);
  const file = join(helm.folder, 'mine.yaml');
  writeFileSync(file, 'mine: true\n');
  const { status, err, out, documents } = await run('install', '--ha', '-f', file, '--set', 'a=b');
  assert.deepEqual([status, err], [0, '']);
  assert.deepEqual(
    documents.map(({ kind, metadata: { name } }) => `${kind} ${name}`),
    [
      `Namespace ${ownNamespace}`,
      'Deployment weft-controller',
      'ConfigMap values',
      'ConfigMap values',
      'ConfigMap values',
      `Secret ${choicesSecret}`,
    ],
  );
  const issuer = readIssuer(issuerIn(documents), Date.now());
  assert.ok(!(issuer instanceof WeftError), 'the controller takes it');
  assert.deepEqual(valuesIn(documents).slice(1), [{ controller: { replicas: 3 } }, { mine: true }]);
  assert.match(helm.calls().at(-1) ?? '', /^template weft .* --namespace weft-system .* --set a=b$/);
  const kept = Buffer.from(String(documents.at(-1)?.data?.['choices.json']), 'base64').toString();
  assert.equal(kept.includes('PRIVATE KEY'), false);
  assert.ok(out.startsWith('---\n') && out.endsWith('\n'));
});

test('install wants the CRDs first, and prints them', async (t) => {
  const { run } = await setUp(t);
  const refused = await run('install');
  assert.deepEqual([refused.status, refused.out], [1, '']);
  assert.match(
    refused.err,
    /^weft: WEFT-E408 the cluster has no servers\.policy\.linkerd\.io: run `weft install --crds/,
  );
  const { status, documents } = await run('install', '--crds');
  assert.deepEqual([status, documents.map(({ kind }) => kind)], [0, ['CustomResourceDefinition']]);
});

test('definitions of another mesh are left to it, and where none is left that is told', async (t) => {
  const { cluster, helm, run } = await setUp(t);
  cluster.put(crds, { metadata: { name: 'own.weft.dev', labels: { 'app.kubernetes.io/part-of': 'weft' } } });
  addCrds(cluster);
  helm.answer(`cat "$7"`);
  for (const command of ['install', 'upgrade']) {
    const { out } = await run(command, '--crds');
    assert.equal(out, '---\nexcept:\n  - servers.policy.linkerd.io\n');
  }
  helm.answer('printf -- "---\\n\\n"');
  assert.deepEqual(await run('install', '--crds', '--ignore-cluster'), {
    status: 0,
    out: '',
    err: 'weft: there is no CustomResourceDefinition to install\n',
    documents: [],
  });
});

test('install where Weft is, is refused; upgrade where it is not', async (t) => {
  const { cluster, run } = await setUp(t);
  assert.match(
    (await run('upgrade')).err,
    /^weft: WEFT-E408 Weft is not installed in the namespace "weft-system": use `weft install`/,
  );
  addInstallation(cluster);
  addCrds(cluster);
  assert.match((await run('install')).err, /^weft: WEFT-E408 Weft is installed in the namespace "weft-system" already/);
  assert.match((await run('upgrade')).err, /WEFT-E408 there is no Secret "weft-install-choices".*use `helm upgrade`/);
});

test('--ignore-cluster asks no cluster', async (t) => {
  const { run, cluster } = await setUp(t);
  const { status, documents } = await run('install', '--ignore-cluster', '-L', 'mesh', '--kubeconfig', '/not/there');
  assert.equal(status, 0);
  assert.equal(documents[0]?.metadata.name, 'mesh');
  assert.deepEqual(cluster.server.requests, []);
});

test('upgrade chooses what was chosen before, and keeps the issuer that signs now', async (t) => {
  const { cluster, helm, run } = await setUp(t);
  addCrds(cluster);
  const installed = await run('install', '--ha', '--set', 'a=b', '--set-string', 's=1');
  const secret = installed.documents.at(-1);
  assert.ok(secret);
  addInstallation(cluster);
  cluster.put(secrets, secret);
  const replaced = createAuthority();
  cluster.put(secrets, asSecret(replaced));

  const upgraded = await run('upgrade', '--set', 'a=c');
  assert.deepEqual([upgraded.status, upgraded.err], [0, '']);
  assert.deepEqual(issuerIn(upgraded.documents), replaced);
  assert.deepEqual(valuesIn(upgraded.documents).slice(1), [{ controller: { replicas: 3 } }]);
  assert.match(helm.calls().at(-1) ?? '', / --set a=b --set a=c --set-string s=1$/);
  const again = upgraded.documents.at(-1);
  assert.deepEqual(JSON.parse(Buffer.from(String(again?.data?.['choices.json']), 'base64').toString()), {
    values: ['controller:\n  replicas: 3\n'],
    set: ['a=b', 'a=c'],
    setString: ['s=1'],
  });
});

test('upgrade never goes on without the issuer', async (t) => {
  const { cluster, helm, run } = await setUp(t);
  addCrds(cluster);
  const secret = (await run('install')).documents.at(-1);
  assert.ok(secret);
  addInstallation(cluster);
  cluster.put(secrets, secret);
  assert.match((await run('upgrade')).err, /^weft: WEFT-E408 there is no Secret "weft-issuer"/);
  const [one, other] = [createAuthority(), createAuthority()];
  cluster.put(secrets, asSecret({ ...one, key: other.key }));
  assert.match((await run('upgrade')).err, /^weft: WEFT-E211 .*its key is not the key of its certificate/);
  const external = await run('upgrade', '--identity-external-issuer');
  assert.equal(external.status, 0);
  assert.deepEqual(valuesIn(external.documents), [{ identity: { externalIssuer: true, externalCA: true } }]);
  cluster.put(secrets, { metadata: { name: choicesSecret } });
  assert.match((await run('upgrade')).err, /WEFT-E408 the Secret "weft-install-choices" cannot be read/);
  assert.ok(helm.calls().length > 0);
});

test('an issuer that somebody else writes stays so in upgrades, and the anchors may be given', async (t) => {
  const { cluster, helm, run } = await setUp(t);
  addCrds(cluster);
  const anchors = join(helm.folder, 'anchors');
  writeFileSync(anchors, 'PEM\n');
  const args = ['install', '--identity-external-issuer', '--identity-trust-anchors-file', anchors];
  const installed = await run(...args);
  const values = [{ identityTrustAnchorsPEM: 'PEM\n', identity: { externalIssuer: true } }];
  assert.deepEqual(valuesIn(installed.documents), values);
  const secret = installed.documents.at(-1);
  assert.ok(secret);
  addInstallation(cluster);
  cluster.put(secrets, secret);
  cluster.put(secrets, asSecret(createAuthority()));
  assert.deepEqual(valuesIn((await run('upgrade')).documents), values);
  const own = await run('upgrade', '--set', 'identity.externalIssuer=false');
  assert.equal(valuesIn(own.documents).length, 2);
});

test('an upgrade keeps all anchors that the mesh trusts', async (t) => {
  const { cluster, run } = await setUp(t);
  addCrds(cluster);
  const secret = (await run('install')).documents.at(-1);
  assert.ok(secret);
  addInstallation(cluster);
  cluster.put(secrets, secret);
  const [issuer, next] = [createAuthority(), createAuthority()];
  cluster.put(secrets, asSecret(issuer));
  const anchors = issuer.anchors + next.anchors;
  const configMap = { metadata: { name: 'weft-trust-anchors' }, data: { 'ca.crt': anchors } };
  cluster.put(`${paths.namespaces}/${ownNamespace}/configmaps`, configMap);
  assert.deepEqual(issuerIn((await run('upgrade')).documents), { ...issuer, anchors });
});

test('an issuer of files is taken as the controller would take it', async (t) => {
  const { helm, run } = await setUp(t);
  const issuer = createAuthority();
  const [anchors, certificate, key] = ['ca', 'crt', 'key'].map((name) => join(helm.folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(anchors, issuer.anchors);
  writeFileSync(certificate, issuer.certificates);
  writeFileSync(key, issuer.key);
  const args = ['install', '--ignore-cluster', '--identity-trust-anchors-file', anchors];
  assert.match((await run(...args)).err, /^weft: WEFT-E401 the three --identity-\* files/);
  args.push('--identity-issuer-certificate-file', certificate, '--identity-issuer-key-file', key);
  assert.deepEqual(issuerIn((await run(...args)).documents), issuer);
  writeFileSync(anchors, createAuthority().anchors);
  assert.match((await run(...args)).err, /^weft: WEFT-E211 .*its chain does not lead to a trust anchor/);
});

test('values that are none are refused before anything is rendered', async (t) => {
  const { helm, run } = await setUp(t);
  const file = join(helm.folder, 'values');
  for (const text of ['- a list\n', 'a: [\n']) {
    writeFileSync(file, text);
    const { status, err } = await run('install', '--ignore-cluster', '-f', file);
    assert.equal(status, 1);
    assert.match(err, /^weft: WEFT-E401 --values /);
  }
  assert.match((await run('install', '--ignore-cluster', '-f', '/not/there')).err, /ENOENT/);
  assert.deepEqual(helm.calls(), []);
});
