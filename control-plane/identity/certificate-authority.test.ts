import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, test } from 'node:test';

import type { ErrorCode } from '../../mesh/errors.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Authenticator, Certificate, CertificateAuthorityOptions } from './certificate-authority.ts';
import { CertificateAuthority } from './certificate-authority.ts';
import type { Issuer } from './issuer.ts';
import { readIssuer } from './issuer.ts';
import { createAuthority } from './new-authority.ts';
import { OpenSsl, dnsName, makeRequest, mesh, pemOf, webName, webUri } from './test-identity.ts';

const openssl = new OpenSsl();
after(() => {
  openssl.close();
});

const hourMs = 3_600_000;
const now = Date.now();
const signal = AbortSignal.timeout(60_000);
const issuer = issuerFor(createAuthority({ now }));

/** The token is the name of the node. */
const trusting: Authenticator = { authenticate: (token) => Promise.resolve({ node: token }) };
const workloads = { identitiesOf: (node: string) => new Set(node === 'node-1' ? [webName] : []) };

function issuerFor(texts: Parameters<typeof readIssuer>[0]): Issuer {
  const result = readIssuer(texts, now);
  if (result instanceof WeftError) throw result;
  return result;
}

function authority(options: Partial<CertificateAuthorityOptions> = {}): CertificateAuthority {
  return new CertificateAuthority({
    mesh,
    authenticator: trusting,
    workloads,
    issuer: () => issuer,
    now: () => now,
    ...options,
  });
}

async function certified(options?: Partial<CertificateAuthorityOptions>): Promise<Certificate> {
  const result = await authority(options).certify({ token: 'node-1', csr: makeRequest() }, signal);
  if (result instanceof WeftError) throw result;
  return result;
}

test('OpenSSL verifies the leaf for servers and clients, by its name', async () => {
  const { chain, anchors } = await certified();
  assert.equal(chain.length, 2);
  assert.equal(anchors.length, 1);
  for (const purpose of ['sslserver', 'sslclient']) {
    assert.equal(openssl.refusalOf(chain, anchors, '-purpose', purpose, '-verify_hostname', webName), '');
  }
  assert.match(openssl.refusalOf(chain, anchors, '-verify_hostname', 'example.com'), /hostname mismatch/i);
  const stranger = issuerFor(createAuthority({ now }));
  assert.match(openssl.refusalOf(chain, stranger.anchors), /unable to get (local )?issuer certificate/);
});

test('OpenSSL shows the leaf as it should be', async () => {
  const { chain, notAfter } = await certified();
  openssl.write('leaf.pem', pemOf(chain[0] ?? Buffer.alloc(0)));
  const text = openssl.run('x509', '-in', 'leaf.pem', '-noout', '-text');
  for (const expected of [
    /Version: 3/,
    /Signature Algorithm: ecdsa-with-SHA256/,
    /Subject: ?\n/,
    /NIST CURVE: P-256/,
    /Basic Constraints: critical\n\s+CA:FALSE/,
    /Key Usage: critical\n\s+Digital Signature\n/,
    /Extended Key Usage: ?\n\s+TLS Web Server Authentication, TLS Web Client Authentication/,
    /Subject Key Identifier: ?\n/,
    /Authority Key Identifier: ?\n/,
  ]) {
    assert.match(text, expected);
  }
  assert.ok(text.includes(`Subject Alternative Name: critical\n                DNS:${webName}, URI:${webUri}\n`), text);
  const leaf = new X509Certificate(chain[0] ?? '');
  const seconds = (time: number) => Math.floor(time / 1000);
  assert.equal(leaf.validFromDate.getTime() / 1000, seconds(now - 20_000));
  assert.equal(leaf.validToDate.getTime() / 1000, seconds(now + 24 * hourMs + 20_000));
  assert.equal(leaf.validToDate.getTime(), notAfter.getTime());
});

test('serial numbers are positive, long and never the same', async () => {
  const serials = new Set<string>();
  for (let index = 0; index < 100; index++) {
    const { chain } = await certified();
    const { serialNumber } = new X509Certificate(chain[0] ?? '');
    assert.match(serialNumber, /^[4-7][0-9A-F]{31}$/);
    serials.add(serialNumber);
  }
  assert.equal(serials.size, 100);
});

test('lives of seconds, lives in the next half of the century, and never beyond the chain', async () => {
  const short = await certified({ lifeMs: 3000 });
  assert.equal(short.notAfter.getTime(), Math.floor((now + 23_000) / 1000) * 1000);
  assert.equal(openssl.refusalOf(short.chain, short.anchors), '');

  const long = issuerFor(createAuthority({ now, lifeMs: 40 * 365 * 24 * hourMs }));
  const longLeaf = await certified({ issuer: () => long, lifeMs: 30 * 365 * 24 * hourMs });
  assert.ok(longLeaf.notAfter.getUTCFullYear() >= 2050);
  assert.equal(new X509Certificate(longLeaf.chain[0] ?? '').validToDate.getTime(), longLeaf.notAfter.getTime());
  assert.equal(openssl.refusalOf(longLeaf.chain, longLeaf.anchors), '');

  const ending = issuerFor(createAuthority({ now, lifeMs: hourMs }));
  const clamped = await certified({ issuer: () => ending });
  assert.equal(clamped.notAfter.getTime(), ending.notAfter.getTime());
});

test('each refusal has its code and is counted, and so is what is signed', async () => {
  const counted: string[] = [];
  const count = (outcome: 'signed' | ErrorCode) => counted.push(outcome);
  const aborted = AbortSignal.abort();
  const refusing: Authenticator = {
    authenticate: () => Promise.resolve(new WeftError('WEFT-E206', 'no token of ours')),
  };
  const failing: Authenticator = { authenticate: () => Promise.reject(new Error('connect ECONNREFUSED')) };
  const ended = { now: () => issuer.notAfter.getTime() };
  const early = { now: () => issuer.notBefore.getTime() - 1 };

  const outcome = async (
    options: Partial<CertificateAuthorityOptions> = {},
    { token = 'node-1', csr = makeRequest(), within = signal } = {},
  ): Promise<string> => {
    const result = await authority({ ...options, count }).certify({ token, csr }, within);
    return result instanceof WeftError ? result.code : 'signed';
  };
  const outcomes = [
    await outcome(),
    await outcome({}, { token: 'node-2' }),
    await outcome({}, { csr: Buffer.from('hello') }),
    await outcome({}, { csr: makeRequest({ names: [dnsName('example.com')] }) }),
    await outcome({}, { within: aborted }),
    await outcome({ authenticator: refusing }),
    await outcome({ authenticator: failing }),
    await outcome(ended),
    await outcome(early),
  ];
  assert.deepEqual(outcomes, [
    ...['signed', 'WEFT-E205', 'WEFT-E201', 'WEFT-E204', 'WEFT-E210', 'WEFT-E206', 'WEFT-E210'],
    ...['WEFT-E212', 'WEFT-E212'],
  ]);
  assert.deepEqual(counted, outcomes);
});

test('a token that is refused has nothing of its request read', async () => {
  const refusing: Authenticator = { authenticate: () => Promise.resolve(new WeftError('WEFT-E206', 'no')) };
  const unread = { identitiesOf: () => assert.fail('asked for workloads') };
  const result = await authority({ authenticator: refusing, workloads: unread }).certify(
    { token: '', csr: makeRequest() },
    signal,
  );
  assert.ok(result instanceof WeftError && result.code === 'WEFT-E206');
});
