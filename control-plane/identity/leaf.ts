import { bitString, constructed, oid, primitive, sequence, tag } from '../../mesh/der.ts';
import { WeftError } from '../../mesh/errors.ts';
import { spiffeUri } from '../../mesh/identity-name.ts';
import { clockSkewAllowanceMs, extension, generalName, oids } from '../../mesh/x509.ts';
import { keyIdentifierOf, signCertificate } from './certificate.ts';
import type { CertificateRequest } from './certificate-request.ts';
import type { Issuer } from './issuer.ts';

export interface Leaf {
  /** DER. */
  readonly certificate: Buffer;
  readonly notAfter: Date;
}

/** Valid from now for `lifeMs`, but never beyond any certificate of its chain. */
export function signLeaf(
  request: CertificateRequest,
  issuer: Issuer,
  { lifeMs, now }: { readonly lifeMs: number; readonly now: number },
): Leaf | WeftError {
  if (now < issuer.notBefore.getTime() || now >= issuer.notAfter.getTime()) {
    const range = `${issuer.notBefore.toISOString()} to ${issuer.notAfter.toISOString()}`;
    return new WeftError('WEFT-E212', `the chain of the issuer is valid from ${range}, which is not now`);
  }
  const end = Math.min(now + lifeMs + clockSkewAllowanceMs, issuer.notAfter.getTime());
  const notAfter = new Date(Math.floor(end / 1000) * 1000);
  const names = sequence(
    primitive(tag.context(generalName.dns), request.identity),
    primitive(tag.context(generalName.uri), spiffeUri(request.parts)),
  );
  const certificate = signCertificate(
    {
      issuer: issuer.subject,
      subject: sequence(),
      notBefore: new Date(now - clockSkewAllowanceMs),
      notAfter,
      publicKey: request.publicKey,
      extensions: [
        extension(oids.basicConstraints, sequence(), { critical: true }),
        extension(oids.keyUsage, bitString(Buffer.of(0x80), 7), { critical: true }), // digitalSignature
        extension(oids.extendedKeyUsage, sequence(oid(oids.serverAuth), oid(oids.clientAuth)), { critical: false }),
        extension(oids.subjectKeyIdentifier, primitive(tag.octetString, keyIdentifierOf(request.publicKey)), {
          critical: false,
        }),
        extension(
          oids.authorityKeyIdentifier,
          constructed(tag.sequence, [primitive(tag.context(0), issuer.keyIdentifier)]),
          { critical: false },
        ),
        extension(oids.subjectAltName, names, { critical: true }), // RFC 5280 4.2.1.6: as the subject is empty
      ],
    },
    issuer.key,
  );
  return { certificate, notAfter };
}
