import { once } from 'node:events';
import type { Socket } from 'node:net';

const lengthBytes = 4;

/** A message between plugin and agent: a 4-byte big-endian length, then that many bytes of JSON. */
export function encodeMessage(content: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(content));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** Rejects when the connection ends or the signal aborts; resolves to undefined for a message that is too long. */
export async function readMessage(
  socket: Socket,
  maximumBytes: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const length = (await readBytes(socket, lengthBytes, signal)).readUInt32BE(0);
  if (length > maximumBytes) return undefined;
  return length === 0 ? '' : (await readBytes(socket, length, signal)).toString();
}

async function readBytes(socket: Socket, count: number, signal: AbortSignal): Promise<Buffer> {
  for (;;) {
    const bytes = socket.read(count) as Buffer | null;
    if (bytes?.length === count) return bytes;
    // Once the other side has ended, read() gives what is left, and 'readable' comes again and again.
    if (bytes !== null || socket.readableEnded) throw new Error('the connection ended within a message');
    await once(socket, 'readable', { signal });
  }
}
