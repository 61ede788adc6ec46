import type { KeyObject } from 'node:crypto';
import { X509Certificate } from 'node:crypto';

import { WeftError } from '../../../mesh/errors.ts';
import { clockSkewAllowanceMs } from '../../../mesh/x509.ts';

/** What a controller answers. */
export interface Certificate {
  /** DER, leaf first, without the anchor. */
  readonly chain: readonly Uint8Array[];
  /** DER: everybody whom the mesh trusts. */
  readonly anchors: readonly Uint8Array[];
  readonly notAfter: Date;
}

/** By the clock of the controller, as the leaf itself says. */
export interface LeafTimes {
  readonly issuedAt: number;
  readonly notAfter: number;
}

/** Whether it is what was asked for, and something that peers will accept. */
export function readIssued(answer: Certificate, identity: string, publicKey: KeyObject): LeafTimes | WeftError {
  const chain = parse(answer.chain);
  const anchors = parse(answer.anchors);
  const [leaf] = chain ?? [];
  if (chain === undefined || leaf === undefined) return refused(identity, 'has a certificate that cannot be read');
  if (anchors === undefined) return refused(identity, 'has a trust anchor that cannot be read');
  if (!leaf.publicKey.equals(publicKey)) return refused(identity, 'is for another key');
  const names = leaf.subjectAltName?.split(', ').filter((name) => name.startsWith('DNS:')) ?? [];
  if (names.length !== 1 || names[0] !== `DNS:${identity}`) {
    return refused(identity, `is for ${names.join(' and ') || 'no name'}`);
  }
  if (!leadsTo(chain, anchors)) return refused(identity, 'does not lead to a trust anchor');
  const issuedAt = leaf.validFromDate.getTime() + clockSkewAllowanceMs;
  const notAfter = leaf.validToDate.getTime();
  if (notAfter <= issuedAt) return refused(identity, 'has expired when it was issued');
  return { issuedAt, notAfter };
}

/** Whether peers that trust the anchors would accept the chain. */
export function isTrusted(chain: readonly Uint8Array[], anchors: readonly Uint8Array[]): boolean {
  const certificates = parse(chain);
  const trusted = parse(anchors);
  return certificates !== undefined && trusted !== undefined && leadsTo(certificates, trusted);
}

/** Whether the leaf is this very certificate's, and shows it to peers where it has to. */
export function isIssuedBy(chain: readonly Uint8Array[], issuer: Uint8Array): boolean {
  const [leaf, shown] = parse(chain) ?? [];
  const [signer] = parse([issuer]) ?? [];
  if (leaf === undefined || signer === undefined) return false;
  return (shown === undefined || shown.raw.equals(signer.raw)) && leaf.verify(signer.publicKey);
}

/**
 * How far the node's clock is ahead of the controller's, below zero if behind. Zero as far as the time that the request took tells; the
 * certificate counts in seconds.
 */
export function measureSkew(issuedAt: number, sentAt: number, receivedAt: number): number {
  if (sentAt >= issuedAt + 1000) return sentAt - (issuedAt + 1000);
  return Math.min(receivedAt - issuedAt, 0);
}

function leadsTo(chain: readonly X509Certificate[], anchors: readonly X509Certificate[]): boolean {
  return chain.every((certificate, depth) => {
    const next = chain[depth + 1];
    return (next === undefined ? anchors : [next]).some(
      (issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey),
    );
  });
}

function parse(certificates: readonly Uint8Array[]): X509Certificate[] | undefined {
  try {
    return certificates.map((der) => new X509Certificate(der));
  } catch {
    return undefined;
  }
}

function refused(identity: string, why: string): WeftError {
  return new WeftError('WEFT-E221', `the certificate that the controller gave for ${identity} ${why}`);
}
