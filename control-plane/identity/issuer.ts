import type { KeyObject } from 'node:crypto';
import { X509Certificate, createPrivateKey } from 'node:crypto';

import type { Der } from '../../mesh/der.ts';
import { childrenOf, contentOf, decode, isOid, tag } from '../../mesh/der.ts';
import { WeftError } from '../../mesh/errors.ts';
import { oids } from '../../mesh/x509.ts';
import { keyIdentifierOf } from './certificate.ts';

/** PEM. */
export interface IssuerTexts {
  /** The issuer's certificate, then intermediates up to an anchor, which need not be among them. */
  readonly certificates: string;
  readonly key: string;
  readonly anchors: string;
}

/** Who signs leaves, and whom the mesh trusts. */
export interface Issuer {
  readonly key: KeyObject;
  /** DER. */
  readonly certificate: Uint8Array;
  readonly subject: Der;
  readonly keyIdentifier: Buffer;
  /** DER, the issuer first, without the anchor. */
  readonly chain: readonly Uint8Array[];
  /** DER. */
  readonly anchors: readonly Uint8Array[];
  /** When all of the chain and its anchor are valid. */
  readonly notBefore: Date;
  readonly notAfter: Date;
}

/** More is a mistake, and the chain goes into every handshake. */
const maximumCertificates = 32;
const keyCertSign = 0x04;

export function readIssuer(texts: IssuerTexts, now: number): Issuer | WeftError {
  const certificates = readCertificates(texts.certificates);
  const anchors = readCertificates(texts.anchors);
  const key = readKey(texts.key);
  const [issuer] = certificates;
  if (issuer === undefined) return refused('its file holds no readable certificates');
  if (anchors.length === 0) return refused('the file of trust anchors holds no readable certificates');
  if (key === undefined) return refused('the file of its key holds no readable key');
  if (key.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return refused('its key is not on P-256');
  if (!issuer.checkPrivateKey(key)) return refused('its key is not the key of its certificate');

  const chain = certificates.filter((certificate) => !anchors.some((anchor) => anchor.raw.equals(certificate.raw)));
  const path = completePath(chain.length > 0 ? chain : [issuer], anchors, now);
  if (path === undefined) return refused('its chain does not lead to a trust anchor');
  const fault = path.map((certificate, depth) => faultOf(certificate, depth, now)).find((found) => found !== undefined);
  if (fault !== undefined) return refused(fault);

  const { subject, keyIdentifier } = readFields(issuer);
  if (subject === undefined) return refused('its certificate is not DER');
  return {
    key,
    certificate: issuer.raw,
    subject,
    keyIdentifier: keyIdentifier ?? keyIdentifierOf(issuer.publicKey.export({ type: 'spki', format: 'der' })),
    chain: chain.map((certificate) => certificate.raw),
    anchors: anchors.map((anchor) => anchor.raw),
    notBefore: new Date(Math.max(...path.map((certificate) => certificate.validFromDate.getTime()))),
    notAfter: new Date(Math.min(...path.map((certificate) => certificate.validToDate.getTime()))),
  };
}

/** The chain with the anchor at its end that lasts longest; anchors that share a key are common while one replaces the other. */
function completePath(
  chain: readonly X509Certificate[],
  anchors: readonly X509Certificate[],
  now: number,
): readonly X509Certificate[] | undefined {
  const last = chain.at(-1);
  if (last === undefined) return undefined;
  const isChain = chain.every((certificate, depth) => {
    const next = chain[depth + 1];
    return next === undefined || isIssuedBy(certificate, next);
  });
  const candidates = anchors.filter((anchor) => anchor.raw.equals(last.raw) || isIssuedBy(last, anchor));
  const rank = (anchor: X509Certificate): number =>
    anchor.validFromDate.getTime() <= now ? anchor.validToDate.getTime() : 0;
  const [anchor] = candidates.toSorted((a, b) => rank(b) - rank(a));
  if (!isChain || anchor === undefined) return undefined;
  return anchor.raw.equals(last.raw) ? chain : [...chain, anchor];
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** What would make peers refuse leaves below this certificate, `depth` CA certificates above the issuer. */
function faultOf(certificate: X509Certificate, depth: number, now: number): string | undefined {
  const name = JSON.stringify(certificate.subject.replaceAll('\n', ', '));
  const { pathLength, mayCertify } = readFields(certificate);
  if (!mayCertify) return `${name} may not sign certificates (key usage)`;
  if (!certificate.ca) return `${name} is not a CA certificate`;
  if (pathLength !== undefined && pathLength < depth) return `${name} allows no chain of this length`;
  if (now < certificate.validFromDate.getTime()) return `${name} is not valid before ${certificate.validFrom}`;
  if (now >= certificate.validToDate.getTime()) return `${name} expired at ${certificate.validTo}`;
  return undefined;
}

interface Fields {
  readonly subject: Der | undefined;
  readonly keyIdentifier: Buffer | undefined;
  readonly pathLength: number | undefined;
  /** Also where it does not say what its key is for. */
  readonly mayCertify: boolean;
}

/** What Node does not tell about a certificate. */
function readFields(certificate: X509Certificate): Fields {
  const [toBeSigned] = childrenOf(decode(certificate.raw), tag.sequence) ?? [];
  const fields = childrenOf(toBeSigned, tag.sequence) ?? [];
  const [list] = childrenOf(fields.at(-1), tag.contextConstructed(3)) ?? [];
  const extensions = childrenOf(list, tag.sequence) ?? [];
  const valueOf = (id: string): Der | undefined => {
    const found = extensions.map((item) => childrenOf(item, tag.sequence)).find((parts) => isOid(parts?.[0], id));
    const value = contentOf(found?.at(-1), tag.octetString);
    return value && decode(value);
  };
  const usage = contentOf(valueOf(oids.keyUsage), tag.bitString);
  const constraints = childrenOf(valueOf(oids.basicConstraints), tag.sequence);
  return {
    subject: fields[5], // after version, serial number, algorithm, issuer and validity
    keyIdentifier: contentOf(valueOf(oids.subjectKeyIdentifier), tag.octetString),
    pathLength: contentOf(constraints?.at(-1), tag.integer)?.at(0),
    mayCertify: usage === undefined || ((usage[1] ?? 0) & keyCertSign) !== 0,
  };
}

/** None where one of them cannot be read. */
function readCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length > maximumCertificates) return [];
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch {
    return [];
  }
}

function readKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

function refused(why: string): WeftError {
  return new WeftError('WEFT-E211', `the issuer is refused: ${why}`);
}
