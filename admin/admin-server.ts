import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

import type { Expositions } from './exposition.ts';

const requestTimeoutMs = 10_000;
/** Of zlib: metrics are so alike that more effort saves little and costs the thread pool three times the time. */
const gzipLevel = 1;

export interface AdminServerOptions {
  readonly metrics: Expositions;
  /** None: ready. */
  readonly reasonsNotReady: () => readonly string[];
  readonly onError: (error: unknown) => void;
}

/** `/live`, `/ready` and `/metrics`, with the answers of Linkerd's proxy on the same port. */
export class AdminServer {
  readonly #options: AdminServerOptions;
  readonly #server: Server;

  constructor(options: AdminServerOptions) {
    this.#options = options;
    this.#server = createServer({ requestTimeout: requestTimeoutMs, maxHeaderSize: 16_384 }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        options.onError(error);
        response.destroy();
      });
    });
    this.#server.maxConnections = 64;
    this.#server.on('error', options.onError);
  }

  /** Resolves to the port. */
  async listen(host: string, port: number): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<undefined>();
    this.#server.once('error', reject);
    this.#server.listen({ host, port, reusePort: true }, () => resolve(undefined)); // a process that takes over listens beside the old one
    await promise;
    this.#server.off('error', reject);
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : port;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
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
    '/ready': (_, response) => {
      const reasons = this.#options.reasonsNotReady();
      if (reasons.length === 0) sendText(response, 200, 'ready\n');
      else sendText(response, 503, `${reasons.join('\n')}\n`);
    },
    '/metrics': async (request, response) => {
      await this.#sendMetrics(request, response);
    },
  };

  async #sendMetrics({ method, headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { text: plain, openMetrics } = this.#options.metrics;
    const asked = headers.accept?.includes('application/openmetrics-text') === true ? openMetrics : plain;
    response.setHeader('content-type', asked.contentType);
    response.setHeader('vary', 'accept, accept-encoding');
    const isCompressed = takesGzip(headers['accept-encoding']);
    if (isCompressed) response.setHeader('content-encoding', 'gzip');
    if (method === 'HEAD') return void response.end();
    const text = Readable.from(asked.write());
    const sent = isCompressed ? pipeline(text, createGzip({ level: gzipLevel }), response) : pipeline(text, response);
    await sent.catch((error: unknown) => {
      if (!hasGone(error)) throw error;
    });
  }
}

/** RFC 9110, 12.5.3: a weight of 0 forbids. */
function takesGzip(accepted = ''): boolean {
  return accepted.split(',').some((one) => /^\s*gzip\s*(?:$|;(?!\s*q=0(?:\.0*)?\s*$))/i.test(one));
}

/** The client does not wait for the end. */
function hasGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_STREAM_PREMATURE_CLOSE';
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
}
