import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';

import type { Expositions } from './exposition.ts';
import { listen } from './listen.ts';
import { sendMetrics } from './send-metrics.ts';

const requestTimeoutMs = 10_000;

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
    return listen(this.#server, host, port);
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
      await sendMetrics(this.#options.metrics, request, response);
    },
  };
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
}
