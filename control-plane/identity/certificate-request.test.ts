import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, test } from 'node:test';

import fc from 'fast-check';

import { childrenOf, constructed, decode, oid, primitive, sequence, tag } from '../../mesh/der.ts';
import { WeftError } from '../../mesh/errors.ts';
import { extension, oids } from '../../mesh/x509.ts';
import { commonName } from './certificate.ts';
import { readCertificateRequest } from './certificate-request.ts';
import type { RequestParts } from './test-identity.ts';
import { OpenSsl, dnsName, makeRequest, mesh, uriName, webName, webUri } from './test-identity.ts';

const openssl = new OpenSsl();
after(() => {
  openssl.close();
});

const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const otherP256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const outcomeOf = (der: Uint8Array): string => {
  const result = readCertificateRequest(der, mesh);
  return result instanceof WeftError ? result.code : result.identity;
};
const requestOf = (parts: RequestParts): string => outcomeOf(makeRequest({ keys: p256, ...parts }));

test('a request for one identity gives its name, its parts and its key', () => {
  const result = readCertificateRequest(makeRequest({ keys: p256 }), mesh);
  assert.ok(!(result instanceof WeftError));
  assert.equal(result.identity, webName);
  assert.deepEqual(result.parts, { serviceAccount: 'web', namespace: 'shop', ...mesh });
  assert.deepEqual(result.publicKey, p256.publicKey.export({ type: 'spki', format: 'der' }));
});

test('the common name and the SPIFFE URI may stand beside it', () => {
  assert.equal(requestOf({ names: [dnsName(webName)] }), webName);
  assert.equal(requestOf({ names: [uriName(webUri), dnsName(webName)] }), webName);
  assert.equal(requestOf({ subject: commonName(webName) }), webName);
});

test("OpenSSL's requests are read as ours", () => {
  openssl.run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'key.pem');
  openssl.write('request.cnf', '[req]\ndistinguished_name = dn\nprompt = no\n[dn]\n');
  const request = [
    'req',
    '-new',
    '-config',
    'request.cnf',
    '-key',
    'key.pem',
    '-outform',
    'DER',
    '-out',
    'request.der',
  ];
  openssl.run(...request, '-subj', `/CN=${webName}`, '-addext', `subjectAltName=DNS:${webName}`);
  assert.equal(outcomeOf(openssl.read('request.der')), webName);
  openssl.run(...request, '-subj', '/', '-addext', `subjectAltName=critical,DNS:${webName},URI:${webUri}`);
  assert.equal(outcomeOf(openssl.read('request.der')), webName);
  openssl.run(...request, '-subj', '/O=Other', '-addext', `subjectAltName=DNS:${webName}`);
  assert.equal(outcomeOf(openssl.read('request.der')), 'WEFT-E203');
});

test('E201: what is not PKCS #10 in DER, or too long', () => {
  const good = makeRequest({ keys: p256 });
  for (const [why, der] of Object.entries({
    empty: Buffer.alloc(0),
    noise: Buffer.from('hello'),
    'cut off': good.subarray(0, -1),
    'one byte more': Buffer.concat([good, Buffer.of(0)]),
    'a longer length than needed': Buffer.concat([Buffer.of(0x30, 0x83, 0), good.subarray(2)]),
    'of indefinite length': Buffer.concat([Buffer.of(0x30, 0x80), good.subarray(4), Buffer.of(0, 0)]),
    'too long': makeRequest({ names: [dnsName('a'.repeat(2000))] }),
    deep: Buffer.concat(Array<Buffer>(900).fill(Buffer.of(0x30, 0x80))),
    'version 1': makeRequest({ version: 1 }),
  })) {
    assert.equal(outcomeOf(der), 'WEFT-E201', why);
  }
});

test('E202: other keys, other signatures, and signatures of others', () => {
  const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  assert.equal(requestOf({ keys: p384 }), 'WEFT-E202');
  assert.equal(requestOf({ keys: rsa }), 'WEFT-E202');
  assert.equal(requestOf({ signer: otherP256.privateKey }), 'WEFT-E202');
  assert.equal(requestOf({ digest: 'sha1' }), 'WEFT-E202');
  assert.equal(requestOf({ digest: 'sha384', algorithm: sequence(oid('1.2.840.10045.4.3.3')) }), 'WEFT-E202');
  assert.equal(requestOf({ algorithm: sequence(oid(oids.ecdsaWithSha256), primitive(5, '')) }), 'WEFT-E202');
});

test('E203: anything beside the one identity', () => {
  const constraints = extension(oids.basicConstraints, sequence(primitive(tag.boolean, '\xff')), { critical: true });
  const altName = extension(oids.subjectAltName, sequence(dnsName(webName)), { critical: false });
  const attribute = sequence(oid(oids.extensionRequest), constructed(tag.set, [sequence(altName)]));
  const otherRdn = childrenOf(commonName(webName), tag.sequence) ?? [];
  const cases: Record<string, RequestParts> = {
    'no name': { names: [] },
    'two names': { names: [dnsName(webName), dnsName(webName)] },
    'a host beside it': { names: [dnsName(webName), dnsName('example.com')] },
    'an address': { names: [dnsName(webName), primitive(tag.context(7), Buffer.of(10, 0, 0, 1))] },
    'an e-mail address': { names: [dnsName(webName), primitive(tag.context(1), 'a@b')] },
    'only a URI': { names: [uriName(webUri)] },
    'two URIs': { names: [dnsName(webName), uriName(webUri), uriName(webUri)] },
    "another's URI": { names: [dnsName(webName), uriName(webUri.replace('web', 'admin'))] },
    'another common name': { subject: commonName('example.com') },
    'two common names': { subject: sequence(...otherRdn, ...otherRdn) },
    'to be a CA': { extensions: [altName, constraints] },
    'only to be a CA': { extensions: [constraints] },
    'two alternative names': { extensions: [altName, altName] },
    'no attribute': { attributes: [] },
    'two attributes': { attributes: [attribute, attribute] },
    'a challenge password': {
      attributes: [sequence(oid('1.2.840.113549.1.9.7'), constructed(tag.set, [primitive(tag.utf8String, 'a')]))],
    },
  };
  for (const [why, parts] of Object.entries(cases)) assert.equal(requestOf(parts), 'WEFT-E203', why);
});

test('E204: names that are no identity of this mesh', () => {
  for (const name of [
    'example.com',
    webName.replace('cluster.local', 'other'),
    webName.replace('weft-system', 'linkerd'),
    webName.toUpperCase(),
    `${webName}.`,
    `${webName}\0`,
    `*.${webName.slice('web.'.length)}`,
    '',
  ]) {
    assert.equal(requestOf({ names: [dnsName(name)] }), 'WEFT-E204', name);
  }
});

test('no request that was changed after it was signed passes', () => {
  const good = makeRequest({ keys: p256 });
  const change = fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
      const changed = Buffer.from(good);
      for (const [index, bits] of changes) changed[index] = (changed[index] ?? 0) ^ bits;
      if (!changed.equals(good)) assert.match(outcomeOf(changed), /^WEFT-E20[1-4]$/);
    }),
    { numRuns: 3000 },
  );
});

test('noise and structured noise are refused, never thrown at', () => {
  const node = fc.letrec<{ der: ReturnType<typeof sequence> }>((tie) => ({
    der: fc.oneof(
      { maxDepth: 5 },
      fc
        .tuple(fc.integer({ min: 0, max: 0x1e }), fc.uint8Array({ maxLength: 20 }))
        .map(([identifier, content]) => primitive(identifier, content)),
      fc
        .tuple(fc.constantFrom(0x30, 0x31, 0xa0, 0xa3), fc.array(tie('der'), { maxLength: 4 }))
        .map(([identifier, children]) => constructed(identifier, children)),
    ),
  })).der;
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => {
      assert.equal(outcomeOf(noise), 'WEFT-E201');
    }),
    { numRuns: 1000 },
  );
  fc.assert(
    fc.property(fc.array(node, { maxLength: 3 }), fc.array(node, { maxLength: 3 }), (attributes, name) => {
      assert.match(requestOf({ attributes }), /^WEFT-E20[134]$/);
      assert.match(requestOf({ subject: sequence(...name, sequence()) }), /^WEFT-E20[13]$/);
    }),
    { numRuns: 500 },
  );
});

test('a value is decoded only from its one encoding', () => {
  for (const hex of ['020200ff', '0201ff', '3000', '0500', 'a003020101', '300602010102010a']) {
    assert.notEqual(decode(Buffer.from(hex, 'hex')), undefined, hex);
  }
  for (const hex of ['02020001', '028101ff', '3080', '30800000', '0501', '300402010102', '']) {
    assert.equal(decode(Buffer.from(hex, 'hex')), undefined, hex);
  }
});
