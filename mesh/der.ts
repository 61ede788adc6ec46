import type { Asn1 } from 'node-forge/lib/asn1.js';
import codec from 'node-forge/lib/asn1.js';

/** A value of ASN.1's distinguished encoding (X.690): the parts of certificates and of requests for them. */
export type Der = Asn1;

/** Identifier octets: class, whether it is constructed, and number (X.690 8.1.2). */
export const tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  context: (number: number) => 0x80 | number,
  contextConstructed: (number: number) => 0xa0 | number,
} as const;

const classBits = 0xc0;
const constructedBit = 0x20;
const numberBits = 0x1f;

/** Undefined for everything that has a second encoding or is not the whole of `bytes`. */
export function decode(bytes: Uint8Array): Der | undefined {
  const input = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    const der = codec.fromDer(input.toString('latin1'), {
      strict: true,
      parseAllBytes: true,
      decodeBitStrings: false,
    });
    return encode(der).equals(input) ? der : undefined;
  } catch {
    return undefined;
  }
}

export function encode(der: Der): Buffer {
  return Buffer.from(codec.toDer(der).getBytes(), 'latin1');
}

export function constructed(identifier: number, children: readonly Der[]): Der {
  return codec.create(identifier & classBits, identifier & numberBits, true, children);
}

export function primitive(identifier: number, content: Uint8Array | string): Der {
  const text = typeof content === 'string' ? content : Buffer.from(content).toString('latin1');
  return codec.create(identifier & classBits, identifier & numberBits, false, text);
}

export function sequence(...children: readonly Der[]): Der {
  return constructed(tag.sequence, children);
}

export function oid(dotted: string): Der {
  return primitive(tag.oid, oidContent(dotted));
}

/** Of whole bytes, or with the last `unusedBits` cut off. */
export function bitString(content: Uint8Array, unusedBits = 0): Der {
  return primitive(tag.bitString, Buffer.concat([Buffer.of(unusedBits), content]));
}

/** Undefined for anything but a constructed value of that identifier. */
export function childrenOf(der: Der | undefined, identifier: number): readonly Der[] | undefined {
  return der !== undefined && identifierOf(der) === identifier && typeof der.value !== 'string' ? der.value : undefined;
}

/** Undefined for anything but a primitive value of that identifier. */
export function contentOf(der: Der | undefined, identifier: number): Buffer | undefined {
  return der !== undefined && identifierOf(der) === identifier && typeof der.value === 'string'
    ? Buffer.from(der.value, 'latin1')
    : undefined;
}

export function isOid(der: Der | undefined, dotted: string): boolean {
  return contentOf(der, tag.oid)?.equals(Buffer.from(oidContent(dotted), 'latin1')) ?? false;
}

/** The bytes of a bit string that has no unused bits. */
export function bytesOfBitString(der: Der | undefined): Buffer | undefined {
  const content = contentOf(der, tag.bitString);
  return content?.[0] === 0 ? content.subarray(1) : undefined;
}

function identifierOf(der: Der): number {
  return der.tagClass | (der.constructed ? constructedBit : 0) | der.type;
}

function oidContent(dotted: string): string {
  return codec.oidToDer(dotted).getBytes();
}
