import assert from 'node:assert/strict';
import type { KeyObject } from 'node:crypto';
import { X509Certificate, generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';

import fc from 'fast-check';

import type { Der } from '../../mesh/der.ts';
import { bitString, constructed, oid, primitive, sequence, tag } from '../../mesh/der.ts';
import { WeftError } from '../../mesh/errors.ts';
import { formatIdentityName, parseIdentityName, spiffeUri } from '../../mesh/identity-name.ts';
import { extension, oids } from '../../mesh/x509.ts';
import { commonName } from './certificate.ts';
import { CertificateAuthority } from './certificate-authority.ts';
import { readIssuer } from './issuer.ts';
import { createAuthority } from './new-authority.ts';
import type { RequestParts } from './test-identity.ts';
import { dnsName, makeRequest, mesh, uriName } from './test-identity.ts';
import { TokenAuthority, newTokenKey } from './token-authority.ts';

/**
 * The promise of the certificate authority, tried 10,000 times: it signs a proper request of an agent for an identity of the agent's own
 * node, and nothing else. What is proper is known from how a case was made, not from the code under test.
 */

const now = 1_800_000_000_000;
const issuer = readIssuer(createAuthority({ now }), now);
assert.ok(!(issuer instanceof WeftError));

const nameOf = (serviceAccount: string, namespace: string, scope = mesh): string =>
  formatIdentityName({ serviceAccount, namespace, ...scope }) ?? '';
const enrolled: Readonly<Record<string, ReadonlySet<string>>> = {
  'node-1': new Set([nameOf('web', 'shop'), nameOf('api', 'shop'), nameOf('web.v2', 'shop')]),
  'node-2': new Set([nameOf('db', 'shop'), nameOf('web', 'bank')]),
};
const names = [
  ...Object.values(enrolled).flatMap((identities) => [...identities]),
  nameOf('admin', 'kube-system'),
  nameOf('web', 'shop', { ...mesh, trustDomain: 'other' }),
  nameOf('web', 'shop', { ...mesh, controlPlaneNamespace: 'linkerd' }),
  'example.com',
  '*.shop.serviceaccount.identity.weft-system.cluster.local',
];

const tokenKey = newTokenKey();
const agents = { namespace: 'weft-system', serviceAccount: 'weft-agent' };
const tokens = new TokenAuthority({ key: tokenKey, ...agents, now: () => now });
const early = new TokenAuthority({ key: tokenKey, ...agents, now: () => now - 3_600_000 });
const apps = new TokenAuthority({ key: tokenKey, namespace: 'shop', serviceAccount: 'web', now: () => now });
const strangers = new TokenAuthority({ key: newTokenKey(), ...agents, now: () => now });
const life = { lifeMs: 60_000 };
const goodTokens = new Map(
  ['node-1', 'node-2', 'node-3'].map((node) => [tokens.issue({ node, pod: `agent-of-${node}` }, life), node]),
);
const agent = { node: 'node-1', pod: 'agent-of-node-1' };
const badTokens = [
  early.issue(agent, life),
  apps.issue(agent, life),
  strangers.issue(agent, life),
  tokens.issue(agent, { ...life, audience: 'kubernetes' }),
  '',
];

const p256 = Array.from({ length: 3 }, () => generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const others = [
  generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
  generateKeyPairSync('rsa', { modulusLength: 2048 }),
];

const outcomes = new Map<string, number>();
const authority = new CertificateAuthority({
  mesh,
  authenticator: tokens,
  workloads: { identitiesOf: (node) => enrolled[node] ?? new Set() },
  issuer: () => issuer,
  count: (outcome) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1),
  now: () => now,
});
const signal = AbortSignal.timeout(600_000);

/** @param proper the identity and key that must come out, if anything may */
async function check(token: string, csr: Uint8Array, proper: { identity: string; key: KeyObject } | undefined) {
  const result = await authority.certify({ token, csr }, signal);
  const node = goodTokens.get(token);
  if (node === undefined || proper === undefined || enrolled[node]?.has(proper.identity) !== true) {
    assert.ok(result instanceof WeftError, 'signed what it must not sign');
    return;
  }
  assert.ok(!(result instanceof WeftError), 'did not sign what it must sign');
  const leaf = new X509Certificate(result.chain[0] ?? '');
  const parts = parseIdentityName(proper.identity, mesh);
  assert.ok(parts);
  assert.equal(leaf.subjectAltName, `DNS:${proper.identity}, URI:${spiffeUri(parts)}`);
  assert.equal(leaf.subject, undefined);
  assert.ok(!leaf.ca);
  assert.ok(leaf.publicKey.equals(proper.key));
}

const someToken = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...goodTokens.keys()) },
  { weight: 1, arbitrary: fc.constantFrom(...badTokens) },
);

const someName = fc.constantFrom(...names);
const extraNames: readonly Der[] = [
  primitive(tag.context(7), Buffer.of(10, 0, 0, 1)),
  primitive(tag.context(1), 'a@example.com'),
  constructed(tag.contextConstructed(4), [commonName('web')]),
  uriName('spiffe://cluster.local/ns/kube-system/sa/admin'),
];
const extraExtensions: readonly Der[] = [
  extension(oids.basicConstraints, sequence(primitive(tag.boolean, Buffer.of(0xff))), { critical: true }),
  extension(oids.keyUsage, bitString(Buffer.of(0x06), 1), { critical: true }),
  extension(oids.extendedKeyUsage, sequence(oid(oids.serverAuth)), { critical: false }),
  extension(oids.subjectAltName, sequence(dnsName(names[0] ?? '')), { critical: false }),
];
const rarely = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });

const madeRequest = fc
  .record({
    name: someName,
    withUri: fc.boolean(),
    withCommonName: fc.boolean(),
    critical: fc.boolean(),
    keys: fc.constantFrom(...p256),
    otherKeys: rarely(fc.constantFrom(...others)),
    otherSigner: rarely(fc.constantFrom(...others)),
    otherCommonName: rarely(someName),
    secondName: rarely(someName),
    extraName: rarely(fc.constantFrom(...extraNames)),
    extraExtension: rarely(fc.constantFrom(...extraExtensions)),
    version: rarely(fc.integer({ min: 1, max: 127 })),
    digest: rarely(fc.constantFrom('sha1', 'sha512')),
  })
  .map((made) => {
    const parts = parseIdentityName(made.name, mesh);
    const altNames = [dnsName(made.name)];
    if (made.withUri && parts) altNames.push(uriName(spiffeUri(parts)));
    if (made.secondName !== undefined) altNames.push(dnsName(made.secondName));
    if (made.extraName) altNames.push(made.extraName);
    const altName = extension(oids.subjectAltName, sequence(...altNames), { critical: made.critical });
    const subject = made.otherCommonName ?? (made.withCommonName ? made.name : undefined);
    const keys = made.otherKeys ?? made.keys;
    const request: RequestParts = {
      keys,
      extensions: made.extraExtension ? [altName, made.extraExtension] : [altName],
      ...(made.otherSigner && { signer: made.otherSigner.privateKey }),
      ...(subject !== undefined && { subject: commonName(subject) }),
      ...(made.version !== undefined && { version: made.version }),
      ...(made.digest !== undefined && { digest: made.digest }),
    };
    const wrong = [made.otherKeys, made.otherSigner, made.secondName, made.extraName, made.extraExtension];
    const isProper =
      parts !== undefined &&
      [...wrong, made.version, made.digest].every((fault) => fault === undefined) &&
      (made.otherCommonName ?? made.name) === made.name;
    return { csr: makeRequest(request), proper: isProper ? { identity: made.name, key: keys.publicKey } : undefined };
  });

test('requests made of good and bad parts', async () => {
  await fc.assert(
    fc.asyncProperty(someToken, madeRequest, (token, { csr, proper }) => check(token, csr, proper)),
    { numRuns: 4000 },
  );
  assert.ok((outcomes.get('signed') ?? 0) > 200, 'enough of them were proper to mean something');
});

test('requests of which bytes were changed, left out, put in or put elsewhere', async () => {
  const [token = ''] = goodTokens.keys();
  const requests = p256.map((keys) => makeRequest({ keys }));
  const edit = fc.record({
    at: fc.nat(400),
    remove: fc.nat(3),
    insert: fc.uint8Array({ maxLength: 3 }),
    copyFrom: rarely(fc.nat(400)),
  });
  const before = outcomes.get('signed') ?? 0;
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...requests),
      fc.array(edit, { minLength: 1, maxLength: 4 }),
      async (request, edits) => {
        const changed = edits.reduce((bytes, { at, remove, insert, copyFrom }) => {
          const copied = copyFrom === undefined ? Buffer.alloc(0) : request.subarray(copyFrom, copyFrom + 16);
          return Buffer.concat([bytes.subarray(0, at), insert, copied, bytes.subarray(at + remove)]);
        }, request);
        if (!requests.some((unchanged) => unchanged.equals(changed))) await check(token, changed, undefined);
      },
    ),
    { numRuns: 4000 },
  );
  assert.equal(outcomes.get('signed') ?? 0, before);
});

test('tokens that were changed, put together from others, or made up', async () => {
  const [keys] = p256;
  assert.ok(keys);
  const csr = makeRequest({ keys });
  const all = [...goodTokens.keys(), ...badTokens];
  const part = fc.tuple(fc.constantFrom(...all), fc.nat(2)).map(([token, index]) => token.split('.')[index] ?? '');
  const mixed = fc.array(part, { minLength: 2, maxLength: 4 }).map((parts) => parts.join('.'));
  const edited = fc
    .tuple(fc.constantFrom(...all), fc.nat(600), fc.nat(2), fc.string({ maxLength: 2 }))
    .map(([token, at, remove, insert]) => token.slice(0, at) + insert + token.slice(at + remove));
  await fc.assert(
    fc.asyncProperty(fc.oneof(mixed, edited, fc.string({ unit: 'binary' })), (token) =>
      check(token, csr, { identity: nameOf('web', 'shop'), key: keys.publicKey }),
    ),
    { numRuns: 2000 },
  );
});
