/**
 * Many streams of one connection of HTTP/2 whose responses nobody reads until a line comes, as slow_readers.py does with connections.
 * Arguments: URL STREAMS FINISHING. Prints a line when all have begun to get answers, and at the end JSON.
 */
import { once } from 'node:events';
import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { connect, constants } from 'node:http2';

const [url = '', streams = '', finishing = ''] = process.argv.slice(2);
const { origin, pathname } = new URL(url);
const errors: Record<string, number> = {};

interface Reader {
  readonly stream: ClientHttp2Stream;
  readonly length: number;
}

async function begin(stream: ClientHttp2Stream): Promise<Reader> {
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  return { stream, length: Number(headers['content-length']) };
}

async function isWhole({ stream, length }: Reader): Promise<boolean> {
  let got = 0;
  for await (const bytes of stream) got += (bytes as Buffer).length;
  return got === length;
}

const session = connect(origin, { maxSessionMemory: 1000 });
await once(session, 'remoteSettings');
const asked = Array.from({ length: Number(streams) }, () => {
  const stream = session.request({ ':path': pathname });
  stream.on('error', (error: NodeJS.ErrnoException) => {
    const name = error.code ?? error.message;
    errors[name] = (errors[name] ?? 0) + 1;
  });
  return begin(stream);
});
const readers = await Promise.all(asked);
console.log('waiting');
process.stdin.resume();
await once(process.stdin, 'end');
const wanted = readers.slice(0, Number(finishing));
for (const { stream } of readers.slice(wanted.length)) stream.close(constants.NGHTTP2_CANCEL);
const whole = (await Promise.all(wanted.map(isWhole))).filter(Boolean).length;
console.log(JSON.stringify({ whole, errors }));
session.close();
