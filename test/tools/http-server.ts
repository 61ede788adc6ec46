/** An app of HTTP/1.1 that tells each client what it has received. Argument: its port. Prints a line once it listens. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { connect } from 'node:net';

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { method = '', url = '/', httpVersion, headers, socket } = request;
  if (url === '/reset') {
    socket.destroy();
    return;
  }
  const body = await bodyOf(request);
  const seen = {
    method,
    url,
    httpVersion,
    headers,
    body: body.length,
    client: [socket.remoteAddress, socket.remotePort],
    /** The app's connection: how many requests it has carried. */
    requests: (counts.get(socket) ?? 0) + 1,
  };
  counts.set(socket, seen.requests);
  const text = `${JSON.stringify(seen)}\n`;
  if (url === '/stream') {
    for (let part = 0; part < 64; part++) response.write(Buffer.alloc(16_384, 'x'));
    response.end();
    return;
  }
  if (url.startsWith('/status/')) response.statusCode = Number(url.slice('/status/'.length));
  response.setHeader('content-type', 'application/json');
  response.setHeader('l5d-proxy-error', 'forged');
  if (url === '/known') response.setHeader('content-length', Buffer.byteLength(text));
  response.end(text);
}

const counts = new WeakMap<object, number>();
const port = Number(process.argv[2]);
const server = createServer((request, response) => void answer(request, response));
/** Whoever leaves HTTP hears again what he says. */
server.on('upgrade', (_request, socket, first) => {
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n');
  socket.write(first);
  socket.pipe(socket);
});
/** A proxy to wherever the client says. */
server.on('connect', (request, socket, first) => {
  const [host = '', target = ''] = (request.url ?? '').split(':');
  const beyond = connect(Number(target), host, () => {
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    beyond.write(first);
    beyond.pipe(socket).pipe(beyond);
  });
  beyond.on('error', () => socket.destroy());
  socket.on('error', () => beyond.destroy());
});
server.listen(port, '0.0.0.0', () => {
  console.log(`listening on ${port}`);
});
