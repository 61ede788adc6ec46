import type { Http2SecureServer, ServerHttp2Stream, IncomingHttpHeaders, ClientHttp2Session } from 'node:http2';
import { connect, constants, createSecureServer } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { connect as connectTcp, createServer } from 'node:net';

export interface ProxyTls {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

export interface ProxyOptions extends ProxyTls {
  readonly upstream: string;
  readonly host: string;
  readonly port: number;
}

export interface RequestCounts {
  lists: number;
  watches: number;
  others: number;
}

/**
 * Stands between a client and an API server and does to it what networks and servers do. TLS ends in a second listener, so that the
 * sockets of the first can be reset and held whatever HTTP/2 thinks of it.
 */
export class FaultProxy {
  counts: RequestCounts = { lists: 0, watches: 0, others: 0 };
  readonly #options: ProxyOptions;
  readonly #front: Server;
  readonly #inner: Http2SecureServer;
  readonly #sockets = new Set<Socket>();
  /** With the path that each is of. */
  readonly #watches = new Map<ServerHttp2Stream, string>();
  #upstream: ClientHttp2Session | undefined;
  /** Paths whose next watch gets 410. */
  readonly #expired = new Set<string>();
  #isFailing = false;
  #isSilent = false;

  constructor(options: ProxyOptions) {
    this.#options = options;
    const { cert, key } = options;
    this.#inner = createSecureServer({ cert, key });
    this.#inner.on('stream', (stream, headers) => this.#serve(stream as ServerHttp2Stream, headers));
    this.#inner.on('session', (session) => session.on('error', () => undefined)); // resets are its task
    this.#front = createServer((socket) => this.#accept(socket));
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve) => this.#inner.listen(0, '127.0.0.1', resolve));
    await new Promise<void>((resolve) => this.#front.listen(port, host, resolve));
  }

  close(): void {
    this.#front.close();
    this.#inner.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#upstream?.destroy();
  }

  /** All connections are reset; new ones are taken. */
  reset(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** All watches end, and what they go on from has been compacted away: the next one of each kind is told 410. */
  expire(): void {
    for (const [watch, path] of this.#watches) {
      this.#expired.add(path);
      watch.close();
    }
  }

  /** While it lasts every request is answered with 500, and no watch goes on. */
  fail(isFailing: boolean): void {
    this.#isFailing = isFailing;
    if (isFailing) for (const watch of this.#watches.keys()) watch.close();
  }

  /** While it lasts not one byte passes, and nobody is told. */
  silence(isSilent: boolean): void {
    this.#isSilent = isSilent;
    for (const socket of this.#sockets) {
      if (isSilent) socket.pause();
      else socket.resume();
    }
  }

  #accept(socket: Socket): void {
    const { port } = this.#inner.address() as { port: number };
    const inner = connectTcp({ host: '127.0.0.1', port });
    for (const one of [socket, inner]) {
      this.#sockets.add(one);
      one.on('close', () => this.#sockets.delete(one));
    }
    this.#forward(socket, inner);
    this.#forward(inner, socket);
  }

  /** Not pipe(), which would resume a socket that silence holds. */
  #forward(from: Socket, to: Socket): void {
    from.on('data', (bytes) => {
      if (!to.write(bytes)) from.pause();
    });
    to.on('drain', () => {
      if (!this.#isSilent) from.resume();
    });
    from.on('end', () => to.end());
    from.on('error', () => undefined); // its close follows
    from.on('close', () => to.destroy());
    if (this.#isSilent) from.pause();
  }

  #serve(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    stream.on('error', () => undefined);
    const url = new URL(headers[':path'] as string, this.#options.upstream);
    const isWatch = url.searchParams.get('watch') === 'true';
    if (isWatch) this.counts.watches += 1;
    else if (headers[':method'] === 'GET') this.counts.lists += 1;
    else this.counts.others += 1;
    if (this.#isFailing) return answer(stream, 500, 'it fails, as it was told to');
    if (isWatch && this.#expired.delete(url.pathname)) return answer(stream, 410, 'too old resource version');
    const session = this.#session();
    const request = session.request(
      { ...headers, ':authority': url.host },
      { endStream: headers[':method'] === 'GET' },
    );
    request.on('error', () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    stream.on('close', () => request.close());
    request.on('response', (response) => {
      if (stream.closed) return;
      stream.respond(response);
      if (isWatch) {
        this.#watches.set(stream, url.pathname);
        stream.on('close', () => this.#watches.delete(stream));
      }
      request.pipe(stream);
    });
    if (headers[':method'] !== 'GET') stream.pipe(request);
  }

  #session(): ClientHttp2Session {
    if (this.#upstream !== undefined && !this.#upstream.destroyed && !this.#upstream.closed) return this.#upstream;
    const session = connect(this.#options.upstream, { ca: this.#options.ca });
    session.on('error', () => undefined); // its streams are told
    return (this.#upstream = session);
  }
}

function answer(stream: ServerHttp2Stream, code: number, message: string): void {
  stream.respond({ ':status': code, 'content-type': 'application/json' });
  stream.end(JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code }));
}
