/** Frames of WebSockets (RFC 6455, 5.2) over any stream: what libraries do only where they have made the connection themselves. */

export const opcodes = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

const keyBytes = 4;

/** @param key clients mask what they send */
export function encodeFrame(opcode: number, payload: Buffer, key?: Buffer): Buffer {
  const { length } = payload;
  const mark = length < 126 ? length : length < 65_536 ? 126 : 127;
  const head = Buffer.alloc(2 + lengthBytesOf(mark));
  head.writeUInt8(0x80 | opcode, 0);
  head.writeUInt8(mark | (key === undefined ? 0 : 0x80), 1);
  if (mark === 126) head.writeUInt16BE(length, 2);
  if (mark === 127) head.writeBigUInt64BE(BigInt(length), 2);
  return key === undefined ? Buffer.concat([head, payload]) : Buffer.concat([head, key, masked(payload, key)]);
}

function lengthBytesOf(mark: number): number {
  return mark === 126 ? 2 : mark === 127 ? 8 : 0;
}

function masked(payload: Buffer, key: Buffer): Buffer {
  return Buffer.from(payload.map((byte, index) => byte ^ (key[index % keyBytes] ?? 0)));
}

/** Whole messages in one frame each are all that it reads. */
export class FrameReader {
  #unread = Buffer.alloc(0);

  /** @returns what is complete now */
  read(bytes: Buffer): Frame[] {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    const frames: Frame[] = [];
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  #next(): Frame | undefined {
    const unread = this.#unread;
    if (unread.length < 2) return undefined;
    const [first, second] = [unread.readUInt8(0), unread.readUInt8(1)];
    const mark = second & 0x7f;
    const keyAt = 2 + lengthBytesOf(mark);
    if (unread.length < keyAt) return undefined;
    const length = mark < 126 ? mark : mark === 126 ? unread.readUInt16BE(2) : Number(unread.readBigUInt64BE(2));
    const isMasked = (second & 0x80) !== 0;
    const payloadAt = keyAt + (isMasked ? keyBytes : 0);
    if (unread.length < payloadAt + length) return undefined;
    const payload = unread.subarray(payloadAt, payloadAt + length);
    this.#unread = unread.subarray(payloadAt + length);
    return { opcode: first & 0x0f, payload: isMasked ? masked(payload, unread.subarray(keyAt, payloadAt)) : payload };
  }
}
