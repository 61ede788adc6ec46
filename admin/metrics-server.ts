import { constants } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Server } from 'node:https';
import { createServer } from 'node:https';

import type { ErrorCode } from '../mesh/errors.ts';
import { WeftError } from '../mesh/errors.ts';
import type { Expositions } from './exposition.ts';
import { listen } from './listen.ts';
import { Places } from './places.ts';
import type { Readers } from './readers.ts';
import { isRefusal } from './readers.ts';
import { sendMetrics, stallMs } from './send-metrics.ts';

/** PEM, leaf first. */
export interface ServerTls {
  readonly key: string;
  readonly cert: string;
}

export interface MetricsServerOptions {
  readonly metrics: Expositions;
  readonly readers: Pick<Readers, 'review'>;
  /** Nobody could say who asks; told once until somebody can, and of each code at most once a minute. */
  readonly onProblem: (problem: WeftError) => void;
  readonly onError: (error: unknown) => void;
  readonly stallMs?: number;
  readonly now?: () => number;
}

/** Anybody can reach it, so whoever is slow, or has shown nothing, does not hold a place for long. */
const limits = {
  handshakeTimeout: 5000,
  headersTimeout: 5000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1000,
  maxHeaderSize: 16_384,
} as const;
const maximumConnections = 64;
/** Strangers decide how often a question finds an answer and how often none. */
const tellAgainMs = 60_000;
const protection = { minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION } as const;

/** `/metrics` over TLS, for readers whose token the API server knows and lets `get` it. */
export class MetricsServer {
  readonly #options: MetricsServerOptions;
  readonly #server: Server;
  readonly #places = new Places(maximumConnections);
  readonly #now: () => number;
  #told: ErrorCode | undefined;
  readonly #toldAt = new Map<ErrorCode, number>();

  constructor(options: MetricsServerOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#server = createServer({ ...limits, ...protection }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => {
        options.onError(error);
        response.destroy();
      });
    });
    this.#server.setTimeout(options.stallMs ?? stallMs);
    this.#server.on('connection', this.#places.take);
    this.#server.on('error', options.onError);
  }

  /** For connections from now on; needed before the first. */
  setTls({ key, cert }: ServerTls): void {
    this.#server.setSecureContext({ key, cert, ...protection });
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
    if (path !== '/metrics') return void response.writeHead(404, { connection: 'close' }).end();
    if (request.method !== 'GET' && request.method !== 'HEAD')
      return void response.writeHead(405, { allow: 'GET, HEAD', connection: 'close' }).end();
    const problem = await this.#review(request.headers.authorization);
    if (problem !== undefined) {
      sendProblem(response, problem);
      return;
    }
    this.#places.keep(request.socket);
    await sendMetrics(this.#options.metrics, request, response);
  }

  async #review(authorization: string | undefined): Promise<WeftError | undefined> {
    const token = /^Bearer +([\x21-\x7e]+)$/i.exec(authorization ?? '')?.[1];
    if (token === undefined) return new WeftError('WEFT-E230', 'the request carries no token');
    const problem = await this.#options.readers.review(token);
    if (problem === undefined || isRefusal(problem)) this.#told = undefined;
    else this.#tell(problem);
    return problem;
  }

  #tell(problem: WeftError): void {
    const now = this.#now();
    const { code } = problem;
    if (code === this.#told || now - (this.#toldAt.get(code) ?? -Infinity) < tellAgainMs) return;
    this.#told = code;
    this.#toldAt.set(code, now);
    this.#options.onProblem(problem);
  }
}

/** Why nobody knows is for the log, not for strangers. */
function sendProblem(response: ServerResponse, problem: WeftError): void {
  const { code, message, hint } = problem;
  const headers = { 'content-type': 'text/plain; charset=utf-8', connection: 'close' };
  if (code === 'WEFT-E230') response.writeHead(401, { ...headers, 'www-authenticate': 'Bearer realm="metrics"' });
  else if (code === 'WEFT-E231') response.writeHead(403, headers);
  else response.writeHead(503, { ...headers, 'retry-after': '5' });
  response.end(isRefusal(problem) ? `${code} ${message}. ${hint}\n` : `${code}. ${hint}\n`);
}
