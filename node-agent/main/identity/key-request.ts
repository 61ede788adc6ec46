import type { KeyObject } from 'node:crypto';
import { generateKeyPairSync, sign } from 'node:crypto';

import { bitString, constructed, decode, encode, oid, primitive, sequence, tag } from '../../../mesh/der.ts';
import { extension, generalName, oids } from '../../../mesh/x509.ts';

export interface KeyRequest {
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  /** PKCS #10 (RFC 2986), DER: the identity as the only name. */
  readonly csr: Buffer;
}

/** A new key on P-256 and the request to certify it. */
export function requestFor(identity: string): KeyRequest {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keyInfo = decode(publicKey.export({ type: 'spki', format: 'der' }));
  if (keyInfo === undefined) throw new Error('OpenSSL exported a key that is not DER');
  const names = sequence(primitive(tag.context(generalName.dns), identity));
  const extensions = sequence(extension(oids.subjectAltName, names, { critical: true }));
  const info = sequence(
    primitive(tag.integer, Buffer.of(0)),
    sequence(),
    keyInfo,
    constructed(tag.contextConstructed(0), [sequence(oid(oids.extensionRequest), constructed(tag.set, [extensions]))]),
  );
  const signature = sign('sha256', encode(info), privateKey);
  return {
    privateKey,
    publicKey,
    csr: encode(sequence(info, sequence(oid(oids.ecdsaWithSha256)), bitString(signature))),
  };
}
