/** The codec alone: the whole package costs twice the memory. Bytes are strings of characters up to U+00FF. */
declare module 'node-forge/lib/asn1.js' {
  interface Asn1 {
    readonly tagClass: number;
    readonly type: number;
    readonly constructed: boolean;
    readonly value: string | readonly Asn1[];
  }

  interface ByteBuffer {
    getBytes(): string;
  }

  interface DecodeOptions {
    readonly strict: boolean;
    readonly parseAllBytes: boolean;
    readonly decodeBitStrings: boolean;
  }

  const codec: {
    create(tagClass: number, type: number, constructed: boolean, value: string | readonly Asn1[]): Asn1;
    fromDer(bytes: string, options: DecodeOptions): Asn1;
    toDer(value: Asn1): ByteBuffer;
    oidToDer(dotted: string): ByteBuffer;
  };
  export default codec;
  export type { Asn1 };
}
