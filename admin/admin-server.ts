import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

import type { Registries } from './registries.ts';

const requestTimeoutMs = 10_000;
const compress = promisify(gzip);

export interface AdminServerOptions {
  readonly registries: Registries;
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

  async #sendMetrics({ headers }: IncomingMessage, response: ServerResponse): Promise<void> {
    const { text: plain, openMetrics } = this.#options.registries;
    const registry = headers.accept?.includes('application/openmetrics-text') === true ? openMetrics : plain;
    const text = await registry.metrics();
    response.setHeader('content-type', registry.contentType);
    if (!takesGzip(headers['accept-encoding'])) return void response.end(text);
    response.setHeader('content-encoding', 'gzip');
    response.end(await compress(text));
  }
}

/** RFC 9110, 12.5.3: a weight of 0 forbids. */
function takesGzip(accepted = ''): boolean {
  return accepted.split(',').some((one) => /^\s*gzip\s*(?:$|;(?!\s*q=0(?:\.0*)?\s*$))/i.test(one));
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
}
