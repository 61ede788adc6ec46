import type { Socket } from 'node:net';

const lengthBytes = 4;

/** A message between plugin and agent: a 4-byte big-endian length, then that many bytes of JSON. */
export function encodeMessage(content: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(content));
  const length = Buffer.alloc(lengthBytes);
  length.writeUInt32BE(body.length);
  return Buffer.concat([length, body]);
}

/** Resolves to undefined for a message that is too long; rejects when the connection closes before the message ends. */
export function readMessage(socket: Socket, maximumBytes: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let received = 0;
    let length: number | undefined;
    const finish = (message: string | undefined): void => {
      socket.off('data', onData).resume(); // goes on reading, or nobody would learn that the other side went away
      resolve(message);
    };
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk);
      received += chunk.length;
      if (received >= lengthBytes) length ??= Buffer.concat(chunks).readUInt32BE(0);
      if (length === undefined) return;
      if (length > maximumBytes) finish(undefined);
      else if (received >= lengthBytes + length) {
        finish(Buffer.concat(chunks).toString('utf8', lengthBytes, lengthBytes + length));
      }
    };
    socket.on('data', onData);
    socket.once('close', () => {
      reject(new Error('the connection closed within a message'));
    });
  });
}
