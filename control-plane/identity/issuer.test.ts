import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import { WeftError } from '../../mesh/errors.ts';
import type { Issuer, IssuerTexts } from './issuer.ts';
import { readIssuer } from './issuer.ts';
import { createAuthority } from './new-authority.ts';
import { OpenSsl } from './test-identity.ts';

const openssl = new OpenSsl();
after(() => {
  openssl.close();
});

const now = Date.now();
const dayMs = 86_400_000;
const ours = createAuthority({ now });
const other = createAuthority({ now });

const ca = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'];
const p256 = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Made by OpenSSL, below `parent` or by itself. */
function certificate(name: string, key: readonly string[], options: readonly string[], parent?: string): void {
  openssl.write('request.cnf', '[req]\ndistinguished_name = dn\nprompt = no\n[dn]\n');
  const issuedBy = parent === undefined ? [] : ['-CA', `${parent}.crt`, '-CAkey', `${parent}.key`];
  const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`];
  openssl.run(
    ...['req', '-x509', '-config', 'request.cnf', '-subj', `/CN=${name}`, '-days', '10'],
    ...[...key, ...files, ...options, ...issuedBy],
  );
}

const text = (name: string) => openssl.read(name).toString();
const read = (texts: Partial<IssuerTexts>, at = Date.now()) => readIssuer({ ...ours, ...texts }, at);
function issuerOf(result: Issuer | WeftError): Issuer {
  if (result instanceof WeftError) throw result;
  return result;
}
function refusalOf(result: Issuer | WeftError): string {
  assert.ok(result instanceof WeftError);
  assert.equal(result.code, 'WEFT-E211');
  return result.message;
}

certificate('root', ['-newkey', 'rsa:2048', '-nodes'], ca);
certificate('middle', p256, ca, 'root');
certificate('leaf-ca', p256, ca, 'middle');
certificate('p384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1', '-nodes'], ca);
certificate('no-ca', p256, ['-addext', 'basicConstraints=critical,CA:FALSE']);
certificate('no-sign', p256, ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,cRLSign']);
certificate('short-path', p256, ['-addext', 'basicConstraints=critical,CA:TRUE,pathlen:0'], 'root');
certificate('below-short-path', p256, ca, 'short-path');

const chainOf = (...names: readonly string[]) => names.map((name) => text(`${name}.crt`)).join('');
const named = (name: string, certificates: string, anchors: string) =>
  read({ certificates, key: text(`${name}.key`), anchors });

test('an authority of our own is an issuer for as long as both its certificates live', () => {
  const issuer = issuerOf(read({}));
  assert.equal(issuer.chain.length, 1);
  assert.equal(issuer.anchors.length, 1);
  assert.ok(issuer.notAfter.getTime() > now + 3649 * dayMs);
  assert.ok(issuer.notBefore.getTime() <= now);
});

test('a chain may have intermediates, end with its anchor or before it, and the bundle may hold others', () => {
  const bundle = ours.anchors + text('root.crt');
  for (const certificates of [chainOf('leaf-ca', 'middle'), chainOf('leaf-ca', 'middle', 'root')]) {
    const issuer = issuerOf(named('leaf-ca', certificates, bundle));
    assert.equal(issuer.chain.length, 2);
    assert.equal(issuer.anchors.length, 2);
    assert.ok(issuer.notAfter.getTime() < now + 11 * dayMs);
  }
});

test('an issuer that is an anchor itself has no chain to send', () => {
  assert.deepEqual(issuerOf(named('middle', chainOf('middle'), chainOf('middle'))).chain, []);
});

test('of anchors that share name and key the one that lasts counts', () => {
  openssl.write('request.cnf', '[req]\ndistinguished_name = dn\nprompt = no\n[dn]\n');
  openssl.run(
    ...['req', '-x509', '-config', 'request.cnf', '-subj', '/CN=root', '-days', '1', '-key', 'root.key'],
    ...[...ca, '-out', 'root-short.crt'],
  );
  for (const anchors of [chainOf('root', 'root-short'), chainOf('root-short', 'root')]) {
    assert.ok(issuerOf(named('middle', chainOf('middle'), anchors)).notAfter.getTime() > now + 9 * dayMs);
  }
});

test('an issuer whose leaves peers would refuse is refused with the reason', () => {
  const cases: readonly (readonly [RegExp, Issuer | WeftError])[] = [
    [/does not lead to a trust anchor/, read({ anchors: other.anchors })],
    [/does not lead to a trust anchor/, named('leaf-ca', chainOf('leaf-ca'), text('root.crt'))],
    [/does not lead to a trust anchor/, named('leaf-ca', chainOf('leaf-ca', 'p384', 'middle'), text('root.crt'))],
    [/not the key of its certificate/, read({ key: other.key })],
    [/not on P-256/, named('p384', chainOf('p384'), chainOf('p384'))],
    [/not on P-256/, named('root', chainOf('root'), chainOf('root'))],
    [/"CN=no-ca" is not a CA certificate/, named('no-ca', chainOf('no-ca'), chainOf('no-ca'))],
    [/may not sign certificates/, named('no-sign', chainOf('no-sign'), chainOf('no-sign'))],
    [
      /"CN=short-path" allows no chain of this length/,
      named('below-short-path', chainOf('below-short-path', 'short-path'), text('root.crt')),
    ],
    [/is not valid before/, read({}, now - dayMs)],
    [/expired at/, read({}, now + 3651 * dayMs)],
    [/no readable certificates/, read({ certificates: '' })],
    [/no readable certificates/, read({ certificates: ours.certificates.replace('MII', 'AAA') })],
    [/no readable certificates/, read({ certificates: ours.certificates.repeat(33) })],
    [/trust anchors holds no readable certificates/, read({ anchors: 'hello' })],
    [/no readable key/, read({ key: ours.certificates })],
  ];
  for (const [reason, result] of cases) assert.match(refusalOf(result), reason);
});

test('a refusal never shows the key', () => {
  for (const texts of [{ certificates: ours.key }, { anchors: ours.key }, { key: `${ours.key.slice(0, 100)}x` }]) {
    assert.ok(!refusalOf(read(texts)).includes(ours.key.slice(30, 60)));
  }
});
