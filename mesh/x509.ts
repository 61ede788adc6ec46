import type { Der } from './der.ts';
import { encode, oid, primitive, sequence, tag } from './der.ts';

/** Object identifiers of certificates and of requests for them. */
export const oids = {
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  commonName: '2.5.4.3',
  extensionRequest: '1.2.840.113549.1.9.14',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** RFC 5280 4.2.1.6, as numbers of context tags. */
export const generalName = { dns: 2, uri: 6 } as const;

/** How far clocks may be apart: leaves begin that much before they are issued and end that much after their life. */
export const clockSkewAllowanceMs = 20_000;

export function extension(id: string, value: Der, options: { readonly critical: boolean }): Der {
  const critical = options.critical ? [primitive(tag.boolean, Buffer.of(0xff))] : [];
  return sequence(oid(id), ...critical, primitive(tag.octetString, encode(value)));
}
