import { X509Certificate, generateKeyPairSync } from 'node:crypto';

import { bitString, primitive, sequence, tag } from '../../mesh/der.ts';
import { clockSkewAllowanceMs, extension, oids } from '../../mesh/x509.ts';
import { commonName, keyIdentifierOf, signCertificate } from './certificate.ts';
import type { IssuerTexts } from './issuer.ts';

const tenYearsMs = 3650 * 86_400_000;

/**
 * A trust anchor and an issuer below it. The anchor's key is forgotten, so that nothing the issuer's folder leaks outlives the issuer's
 * replacement; both live equally long, because one that ends earlier only ends the mesh earlier.
 */
export function createAuthority({ now = Date.now(), lifeMs = tenYearsMs } = {}): IssuerTexts {
  const notBefore = new Date(now - clockSkewAllowanceMs);
  const notAfter = new Date(now + lifeMs);
  const anchor = newKey();
  const issuer = newKey();
  const anchorId = keyIdentifierOf(anchor.publicKey);
  const issuerId = keyIdentifierOf(issuer.publicKey);
  // With the key in the name, anchors of one bundle have different names.
  const anchorName = commonName(`Weft trust anchor ${anchorId.toString('hex', 0, 6)}`);
  const issuerName = commonName(`Weft issuer ${issuerId.toString('hex', 0, 6)}`);
  const common = { issuer: anchorName, notBefore, notAfter };
  const authorityKey = extension(oids.authorityKeyIdentifier, sequence(primitive(tag.context(0), anchorId)), {
    critical: false,
  });
  const anchorCertificate = signCertificate(
    { ...common, subject: anchorName, publicKey: anchor.publicKey, extensions: caExtensions(anchorId, 1) },
    anchor.privateKey,
  );
  const issuerCertificate = signCertificate(
    {
      ...common,
      subject: issuerName,
      publicKey: issuer.publicKey,
      extensions: [...caExtensions(issuerId, 0), authorityKey],
    },
    anchor.privateKey,
  );
  return {
    certificates: new X509Certificate(issuerCertificate).toString(),
    key: issuer.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    anchors: new X509Certificate(anchorCertificate).toString(),
  };
}

function newKey() {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, publicKey: publicKey.export({ type: 'spki', format: 'der' }) };
}

/** `below`: how many CA certificates may follow. */
function caExtensions(keyIdentifier: Buffer, below: number) {
  const constraints = sequence(primitive(tag.boolean, Buffer.of(0xff)), primitive(tag.integer, Buffer.of(below)));
  return [
    extension(oids.basicConstraints, constraints, { critical: true }),
    extension(oids.keyUsage, bitString(Buffer.of(0x06), 1), { critical: true }), // keyCertSign, cRLSign
    extension(oids.subjectKeyIdentifier, primitive(tag.octetString, keyIdentifier), { critical: false }),
  ];
}
