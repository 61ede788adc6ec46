import { createPublicKey, verify } from 'node:crypto';

import type { Der } from '../../mesh/der.ts';
import { bytesOfBitString, childrenOf, contentOf, decode, encode, isOid, tag } from '../../mesh/der.ts';
import type { ErrorCode } from '../../mesh/errors.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { IdentityParts, MeshScope } from '../../mesh/identity-name.ts';
import { parseIdentityName, spiffeUri } from '../../mesh/identity-name.ts';
import { generalName, oids } from '../../mesh/x509.ts';

export interface CertificateRequest {
  readonly identity: string;
  readonly parts: IdentityParts;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Buffer;
}

/** The longest name twice, the longest URI, a key and a signature need less. */
const maximumBytes = 2048;

/** SubjectPublicKeyInfo of an uncompressed point on P-256, up to its coordinates: the only form that agents send. */
const p256Prefix = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex');
const p256Bytes = p256Prefix.length + 64;

/**
 * PKCS #10 (RFC 2986) that asks for one identity of this mesh and nothing else. Nothing of a request is copied into a certificate but
 * what is returned here, so whatever is not understood is refused.
 */
export function readCertificateRequest(der: Uint8Array, mesh: MeshScope): CertificateRequest | WeftError {
  if (der.byteLength > maximumBytes) return refused('WEFT-E201', `is longer than ${maximumBytes} bytes`);
  const request = childrenOf(decode(der), tag.sequence);
  const info = childrenOf(request?.[0], tag.sequence);
  if (request?.length !== 3 || info?.length !== 4) return refused('WEFT-E201', 'is not PKCS #10 in DER');
  const [signed, algorithm, signature] = request;
  const [version, subject, keyInfo, attributes] = info;
  if (contentOf(version, tag.integer)?.equals(Buffer.of(0)) !== true)
    return refused('WEFT-E201', 'is not of version 0');

  const publicKey = keyInfo && encode(keyInfo);
  if (publicKey?.length !== p256Bytes || !publicKey.subarray(0, p256Prefix.length).equals(p256Prefix)) {
    return refused('WEFT-E202', 'has a key that is not an uncompressed point of P-256');
  }
  if (signed === undefined || !isSignedBy(publicKey, signed, algorithm, signature)) {
    return refused('WEFT-E202', 'is not signed with its own key by ECDSA with SHA-256');
  }

  const identity = readIdentity(attributes);
  if (identity instanceof WeftError) return identity;
  const parts = parseIdentityName(identity.name, mesh);
  if (parts === undefined) {
    return refused('WEFT-E204', `asks for ${JSON.stringify(identity.name)}, which is no identity of this mesh`);
  }
  if (!isEmptyOrNames(subject, identity.name)) {
    return refused('WEFT-E203', 'has a subject beside the common name of the identity');
  }
  if (identity.uri !== undefined && identity.uri !== spiffeUri(parts)) {
    return refused('WEFT-E203', 'has a URI that is not the SPIFFE URI of the identity');
  }
  return { identity: identity.name, parts, publicKey };
}

function isSignedBy(publicKey: Buffer, signed: Der, algorithm: Der | undefined, signature: Der | undefined): boolean {
  const algorithmParts = childrenOf(algorithm, tag.sequence);
  const signatureBytes = bytesOfBitString(signature);
  if (algorithmParts?.length !== 1 || !isOid(algorithmParts[0], oids.ecdsaWithSha256)) return false;
  if (signatureBytes === undefined) return false;
  try {
    const key = createPublicKey({ key: publicKey, format: 'der', type: 'spki' });
    return verify('sha256', encode(signed), key, signatureBytes);
  } catch {
    return false; // not a point of the curve
  }
}

/** From the only extension of the only attribute. */
function readIdentity(attributes: Der | undefined): { name: string; uri: string | undefined } | WeftError {
  const attribute = only(childrenOf(attributes, tag.contextConstructed(0)));
  const [type, values, ...moreOfAttribute] = childrenOf(attribute, tag.sequence) ?? [];
  if (!isOid(type, oids.extensionRequest) || moreOfAttribute.length > 0) {
    return refused('WEFT-E203', 'has other attributes than one request for extensions');
  }
  const extension = only(childrenOf(only(childrenOf(values, tag.set)), tag.sequence));
  const [id, ...rest] = childrenOf(extension, tag.sequence) ?? [];
  if (!isOid(id, oids.subjectAltName)) {
    return refused('WEFT-E203', 'asks for other extensions than one subject alternative name');
  }
  const [critical, value] = rest.length === 2 ? rest : [undefined, ...rest];
  const isCriticalOrAbsent = critical === undefined || contentOf(critical, tag.boolean)?.equals(Buffer.of(0xff));
  const namesDer = contentOf(value, tag.octetString);
  const names = namesDer && childrenOf(decode(namesDer), tag.sequence);
  if (rest.length > 2 || isCriticalOrAbsent !== true || names === undefined) {
    return refused('WEFT-E201', 'has a malformed subject alternative name');
  }
  const dns = names.flatMap((name) => contentOf(name, tag.context(generalName.dns)) ?? []);
  const uris = names.flatMap((name) => contentOf(name, tag.context(generalName.uri)) ?? []);
  const [name] = dns;
  if (name === undefined || dns.length !== 1 || uris.length > 1 || names.length !== dns.length + uris.length) {
    return refused('WEFT-E203', 'does not ask for exactly one DNS name, with at most its SPIFFE URI beside it');
  }
  return { name: name.toString('latin1'), uri: uris[0]?.toString('latin1') };
}

function isEmptyOrNames(subject: Der | undefined, identity: string): boolean {
  const names = childrenOf(subject, tag.sequence);
  if (names?.length === 0) return true;
  const attribute = only(childrenOf(only(names), tag.set));
  const [type, value, ...more] = childrenOf(attribute, tag.sequence) ?? [];
  const text = contentOf(value, tag.utf8String) ?? contentOf(value, tag.printableString);
  return isOid(type, oids.commonName) && more.length === 0 && text?.toString('latin1') === identity;
}

function only<Item>(items: readonly Item[] | undefined): Item | undefined {
  return items?.length === 1 ? items[0] : undefined;
}

function refused(code: ErrorCode, why: string): WeftError {
  return new WeftError(code, `the certificate request ${why}`);
}
