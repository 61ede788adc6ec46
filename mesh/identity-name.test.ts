import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import type { IdentityParts } from './identity-name.ts';
import { formatIdentityName, isMeshScope, parseIdentityName, spiffeUri } from './identity-name.ts';

const mesh = { controlPlaneNamespace: 'weft-system', trustDomain: 'cluster.local' };
const web = { serviceAccount: 'web', namespace: 'shop', ...mesh };
const webName = 'web.shop.serviceaccount.identity.weft-system.cluster.local';

/** With the words that could be taken for another part. */
const label = fc.oneof(
  fc.stringMatching(/^[a-z0-9](?:[-a-z0-9]{0,12}[a-z0-9])?$/),
  fc.constantFrom('serviceaccount', 'identity', 'weft-system', 'cluster', 'local', '0', 'a-b', 'a'.repeat(63)),
);
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'));
const identity: fc.Arbitrary<IdentityParts> = fc.record(
  { serviceAccount: name, namespace: label, controlPlaneNamespace: label, trustDomain: name },
  { noNullPrototype: true },
);

test('an identity has its name and its SPIFFE URI', () => {
  assert.equal(formatIdentityName(web), webName);
  assert.deepEqual(parseIdentityName(webName, mesh), web);
  assert.equal(spiffeUri(web), 'spiffe://cluster.local/ns/shop/sa/web');
});

test('a name reads as the parts it was made of', () => {
  fc.assert(
    fc.property(identity, (parts) => {
      const formatted = formatIdentityName(parts);
      if (formatted !== undefined) assert.deepEqual(parseIdentityName(formatted, parts), parts);
      else assert.ok(Object.values(parts).join('.').length > 253 - '.serviceaccount.identity'.length);
    }),
    { numRuns: 1000 },
  );
});

test('whatever reads as an identity is exactly its name', () => {
  const text = fc.array(
    fc.oneof(label, fc.constantFrom('.', '..', 'A', '\n', ' ', '*', 'é', '-', '_', '\0', 'shop.'), fc.string()),
  );
  fc.assert(
    fc.property(text, fc.constantFrom('', webName.slice('web.shop'.length)), (pieces, ending) => {
      const candidate = pieces.join('') + ending;
      const parts = parseIdentityName(candidate, mesh);
      if (parts !== undefined) assert.equal(formatIdentityName(parts), candidate);
    }),
    { numRuns: 1000 },
  );
});

test('what is no DNS name is no identity', () => {
  for (const wrong of ['', 'Web', 'web\n', '-web', 'web-', 'we_b', 'a'.repeat(64), 'a..b', '.a', 'a.', 'ä', 'a*']) {
    assert.equal(formatIdentityName({ ...web, serviceAccount: wrong }), undefined, wrong);
    assert.equal(formatIdentityName({ ...web, namespace: wrong }), undefined, wrong);
    assert.equal(formatIdentityName({ ...web, trustDomain: wrong }), undefined, wrong);
    assert.ok(!isMeshScope({ ...mesh, controlPlaneNamespace: wrong }), wrong);
  }
  assert.equal(formatIdentityName({ ...web, namespace: 'a.b' }), undefined);
  assert.equal(formatIdentityName({ ...web, serviceAccount: Array(100).fill('ab').join('.') }), undefined);
});

test('names of other meshes and hosts are no identities', () => {
  for (const other of [
    webName.replace('local', 'other'),
    webName.replace('weft-system', 'linkerd'),
    webName.slice('web.'.length),
    webName.slice('web.shop'.length),
    `${webName}.`,
    'example.com',
    '',
  ]) {
    assert.equal(parseIdentityName(other, mesh), undefined, other);
  }
});
