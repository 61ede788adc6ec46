/** An app of HTTP/2 without TLS that tells each client what it has received. Argument: its port. Prints a line once it listens. */
import type { Http2Session, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { constants, createServer } from 'node:http2';

const requests = new WeakMap<Http2Session, number>();

async function answer(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
  const path = headers[':path'] ?? '/';
  if (path === '/reset') {
    stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    return;
  }
  let body = 0;
  for await (const chunk of stream) body += (chunk as Buffer).length;
  const { session } = stream;
  if (session === undefined) return;
  requests.set(session, (requests.get(session) ?? 0) + 1);
  const { remoteAddress, remotePort } = session.socket;
  if (path === '/stream') {
    stream.respond({ ':status': 200 });
    stream.end(Buffer.alloc(1_048_576, 'x'));
    return;
  }
  const status = path.startsWith('/status/') ? Number(path.slice('/status/'.length)) : 200;
  stream.respond({ ':status': status, 'content-type': 'application/json' }, { waitForTrailers: path === '/trailers' });
  stream.on('wantTrailers', () => {
    stream.sendTrailers({ 'x-end': 'told' });
  });
  stream.end(
    `${JSON.stringify({ path, headers, body, client: [remoteAddress, remotePort], requests: requests.get(session) })}\n`,
  );
}

const port = Number(process.argv[2]);
const server = createServer();
server.on('stream', (stream, headers) => {
  stream.on('error', () => undefined);
  answer(stream as ServerHttp2Stream, headers).catch(() => undefined);
});
server.listen(port, '0.0.0.0', () => {
  console.log(`listening on ${port}`);
});
