/**
 * An app that takes and gives bodies of any size, without keeping them. Argument: its port. Prints a line once it listens.
 * PUT: tells how much came and its digest. GET /bytes/N: N bytes. GET /digest: of the last such body.
 */
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

const blockSize = 256 * 1024;
let lastDigest = '';

async function take(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of request) {
    bytes += (chunk as Buffer).length;
    hash.update(chunk as Buffer);
  }
  response.end(JSON.stringify({ bytes, sha256: hash.digest('hex'), trailers: request.trailers }));
}

async function give(bytes: number, response: ServerResponse): Promise<void> {
  const hash = createHash('sha256');
  const block = Buffer.alloc(blockSize, 'weft');
  function* blocks(): Generator<Buffer> {
    for (let at = 0; at < bytes; at += blockSize) {
      // A copy: the one before it may not have been sent yet.
      const next = Buffer.from(block.subarray(0, Math.min(blockSize, bytes - at)));
      if (next.length >= 8) next.writeDoubleLE(at);
      hash.update(next);
      yield next;
    }
  }
  response.setHeader('content-length', bytes);
  await pipeline(Readable.from(blocks(), { objectMode: false, highWaterMark: blockSize }), response);
  lastDigest = hash.digest('hex');
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method, url = '/' } = request;
  if (method === 'PUT' || method === 'POST') return take(request, response);
  if (url.startsWith('/bytes/')) return give(Number(url.slice('/bytes/'.length)), response);
  response.end(lastDigest);
}

const server = createServer((request, response) => {
  answer(request, response).catch(() => response.destroy()); // the client is gone
});
server.requestTimeout = 0;
const port = Number(process.argv[2]);
server.listen({ port, host: '0.0.0.0', backlog: 4096 }, () => {
  console.log(`listening on ${port}`);
});
