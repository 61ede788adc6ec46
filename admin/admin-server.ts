import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';

import type { Expositions } from './exposition.ts';
import { listen } from './listen.ts';
import { Places } from './places.ts';
import { sendMetrics, stallMs } from './send-metrics.ts';

const requestTimeoutMs = 10_000;
const maximumConnections = 64;

export interface AdminServerOptions {
  readonly metrics: Expositions;
  /** None: ready. */
  readonly reasonsNotReady: () => readonly string[];
  readonly onError: (error: unknown) => void;
  readonly stallMs?: number;
}

/**
 * `/live`, `/ready` and `/metrics`, with the answers of Linkerd's proxy on the same port. Who does not ask from the same loopback, as the
 * kubelet of another network or a stranger, is told that the process lives and the codes of what it lacks, and no more.
 */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: Server;
  readonly #places = new Places(maximumConnections);

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: requestTimeoutMs, maxHeaderSize: 16_384 }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        options.onError(error);
        response.destroy();
      });
    });
    this.#server.setTimeout(options.stallMs ?? stallMs);
    this.#server.on('connection', this.#places.take);
    this.#server.on('error', options.onError);
  }

  /** Resolves to the port. */
  async listen(host: string, port: number): Promise<number> {
    return listen(this.#server, host, port);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#places.destroyAll();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path] = (request.url ?? '').split('?');
    const handler = path === undefined ? undefined : this.#handlers[path];
    if (handler === undefined) return void response.writeHead(404).end();
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return void response.writeHead(405, { allow: 'GET, HEAD' }).end();
    await handler(request, response);
  }

  readonly #handlers: Readonly<
    Record<string, (request: IncomingMessage, response: ServerResponse) => Promise<void> | void>
  > = {
    '/live': (_, response) => {
      sendText(response, 200, 'live\n');
    },
    '/ready': ({ socket }, response) => {
      const reasons = this.#options.reasonsNotReady();
      if (reasons.length === 0) sendText(response, 200, 'ready\n');
      else sendText(response, 503, `${(isLoopback(socket.remoteAddress) ? reasons : codesIn(reasons)).join('\n')}\n`);
    },
    '/metrics': async (request, response) => {
      if (!isLoopback(request.socket.remoteAddress)) return void response.writeHead(403).end();
      await sendMetrics(this.#options.metrics, request, response);
    },
  };
}

/** @param address as Node tells it, which writes IPv4 on a socket of both families as IPv6 */
export function isLoopback(address: string | undefined): boolean {
  return address === '::1' || /^(?:::ffff:)?127\./.test(address ?? '');
}

export function codesIn(reasons: readonly string[]): readonly string[] {
  const codes = new Set(reasons.flatMap((reason) => reason.match(/\bWEFT-E\d{3}\b/g) ?? []));
  return codes.size === 0 ? ['not ready'] : [...codes];
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
}
