import type { KeyObject } from 'node:crypto';
import { createHash, randomBytes, sign } from 'node:crypto';

import type { Der } from '../../mesh/der.ts';
import { bitString, constructed, decode, encode, oid, primitive, sequence, tag } from '../../mesh/der.ts';
import { oids } from '../../mesh/x509.ts';

export interface CertificateFields {
  readonly issuer: Der;
  readonly subject: Der;
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKey: Uint8Array;
  readonly extensions: readonly Der[];
}

/** An X.509 certificate (RFC 5280), version 3, signed with a key on P-256. @throws Error for a public key that is no DER */
export function signCertificate(fields: CertificateFields, key: KeyObject): Buffer {
  const publicKey = decode(fields.publicKey);
  if (publicKey === undefined) throw new Error('the public key is not DER');
  const algorithm = sequence(oid(oids.ecdsaWithSha256));
  const toBeSigned = sequence(
    constructed(tag.contextConstructed(0), [primitive(tag.integer, Buffer.of(2))]),
    primitive(tag.integer, serialNumber()),
    algorithm,
    fields.issuer,
    sequence(time(fields.notBefore), time(fields.notAfter)),
    fields.subject,
    publicKey,
    constructed(tag.contextConstructed(3), [sequence(...fields.extensions)]),
  );
  const signature = sign('sha256', encode(toBeSigned), key);
  return encode(sequence(toBeSigned, algorithm, bitString(signature)));
}

export function commonName(text: string): Der {
  const attribute = sequence(oid(oids.commonName), primitive(tag.utf8String, Buffer.from(text)));
  return sequence(constructed(tag.set, [attribute]));
}

/** RFC 5280 4.2.1.2, method 1. */
export function keyIdentifierOf(publicKey: Uint8Array): Buffer {
  const point = publicKey.subarray(-65); // on P-256 the uncompressed point ends the SubjectPublicKeyInfo
  return createHash('sha1').update(point).digest();
}

/** 126 random bits, after which the first byte is neither negative nor a zero that DER would not allow. */
function serialNumber(): Buffer {
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** RFC 5280 4.1.2.5: two digits of the year through 2049. Parts of a second are cut off. */
function time(date: Date): Der {
  const text = `${date.toISOString().slice(0, 19).replace(/[-T:]/g, '')}Z`;
  return date.getUTCFullYear() < 2050 ? primitive(tag.utcTime, text.slice(2)) : primitive(tag.generalizedTime, text);
}
