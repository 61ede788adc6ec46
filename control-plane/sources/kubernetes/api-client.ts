import type { IncomingHttpHeaders } from 'node:http';
import { Agent as HttpAgent, request as requestHttp } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import type { ClientHttp2Session } from 'node:http2';
import type { Readable } from 'node:stream';

import type { ApiAccess, ApiCredentials } from './api-access.ts';
import { ApiSession } from './api-session.ts';

export interface ApiRequest {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With the query. */
  readonly path: string;
  readonly body?: unknown;
  /** Of the body, where it is no object as it is. */
  readonly contentType?: string;
  readonly accept?: string;
}

export interface ApiText {
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
}

/** An answer of the API server that is a refusal. */
export class ApiFailure extends Error {
  readonly status: number;
  /** The server asks not to be asked before. */
  readonly retryAfterMs: number;
  /** All that was answered, up to a bound. */
  readonly text: string;

  constructor(status: number, message: string, retryAfterMs = 0, text = '') {
    super(`the API server answers ${status}${message && `: ${message}`}`);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
    this.text = text;
  }
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readable;
}

const keepAliveMs = 15_000;
const answerMs = 60_000;
const headersMs = 30_000;
const maximumFailureBytes = 64 * 1024;
/** A list that the server makes of its cache comes in one piece, however large the cluster. */
const maximumAnswerBytes = 512 * 1024 * 1024;

/** Requests to one API server: one HTTP/2 session where it speaks that, else HTTP/1.1 with connections that are kept. */
export class ApiClient {
  readonly #access: ApiAccess;
  readonly #session: ApiSession;
  readonly #agent: HttpAgent;
  readonly #userAgent: string;

  constructor(access: ApiAccess, userAgent = 'weft-controller') {
    this.#access = access;
    this.#userAgent = userAgent;
    this.#session = new ApiSession(access.url);
    const options = { keepAlive: true, keepAliveMsecs: keepAliveMs };
    this.#agent = access.url.protocol === 'http:' ? new HttpAgent(options) : new HttpsAgent(options);
  }

  /** @throws ApiFailure, or what the network says */
  async json(request: ApiRequest, signal: AbortSignal, deadlineMs = answerMs): Promise<unknown> {
    return JSON.parse((await this.text(request, signal, deadlineMs)).text);
  }

  /** @throws ApiFailure, or what the network says */
  async text(request: ApiRequest, signal: AbortSignal, deadlineMs = answerMs): Promise<ApiText> {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(deadlineMs)]);
    const { headers, body } = await this.#open(request, bounded);
    return { headers, text: await textOf(body, maximumAnswerBytes) };
  }

  /** An answer that goes on. The signal ends it. */
  async stream(request: ApiRequest, signal: AbortSignal): Promise<Readable> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(new Error(`no answer within ${headersMs} ms`)), headersMs);
    try {
      return (await this.#open(request, AbortSignal.any([signal, late.signal]))).body;
    } finally {
      clearTimeout(timer);
    }
  }

  async close(): Promise<void> {
    this.#agent.destroy();
    await this.#session.close();
  }

  async #open(request: ApiRequest, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    const credentials = await abortable(this.#access.credentials(), signal);
    const isPlain = this.#access.url.protocol === 'http:';
    const session = isPlain ? undefined : await abortable(this.#session.get(credentials.tls), signal);
    signal.throwIfAborted();
    const answer = await (session
      ? this.#openHttp2(session, request, credentials, signal)
      : this.#openHttp1(request, credentials, signal));
    if (answer.status >= 200 && answer.status < 300) return answer;
    throw await failureOf(answer);
  }

  #headers(request: ApiRequest, credentials: ApiCredentials): Record<string, string> {
    return {
      ...credentials.headers,
      accept: request.accept ?? 'application/json',
      'user-agent': this.#userAgent,
      ...(request.body !== undefined && { 'content-type': request.contentType ?? 'application/json' }),
    };
  }

  #path(request: ApiRequest): string {
    return this.#access.url.pathname.replace(/\/$/, '') + request.path;
  }

  #openHttp2(
    session: ClientHttp2Session,
    request: ApiRequest,
    credentials: ApiCredentials,
    signal: AbortSignal,
  ): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const stream = session.request(
      { ':method': request.method ?? 'GET', ':path': this.#path(request), ...this.#headers(request, credentials) },
      { signal },
    );
    stream.on('error', reject);
    stream.on('close', () => reject(new Error('the API server closed the stream without an answer')));
    stream.on('response', (headers) => resolve({ status: headers[':status'] ?? 0, headers, body: stream }));
    stream.end(textOfBody(request));
    return promise;
  }

  #openHttp1(request: ApiRequest, credentials: ApiCredentials, signal: AbortSignal): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const { url } = this.#access;
    const outgoing = (url.protocol === 'http:' ? requestHttp : requestHttps)(
      new URL(this.#path(request), url),
      {
        agent: this.#agent,
        method: request.method ?? 'GET',
        headers: this.#headers(request, credentials),
        signal,
        ...credentials.tls,
      },
      (body) => {
        body.on('error', () => undefined); // whoever reads it gets it; it may come after the last read
        resolve({ status: body.statusCode ?? 0, headers: body.headers, body });
      },
    );
    outgoing.on('error', reject);
    outgoing.end(textOfBody(request));
    return promise;
  }
}

function textOfBody({ body }: ApiRequest): string | undefined {
  return body === undefined ? undefined : JSON.stringify(body);
}

async function failureOf({ status, headers, body }: Answer): Promise<ApiFailure> {
  const retryAfter = Number(headers['retry-after'] ?? 0);
  const text = await textOf(body, maximumFailureBytes).catch(() => '');
  return new ApiFailure(status, messageIn(text), Number.isFinite(retryAfter) ? retryAfter * 1000 : 0, text);
}

/** Of a Status object; a proxy in between may answer anything. */
export function messageIn(text: string): string {
  try {
    const { message } = JSON.parse(text) as { message?: unknown };
    return typeof message === 'string' ? message : '';
  } catch {
    return text.slice(0, 200);
  }
}

/** @throws Error where it is longer, or what the connection says */
export async function textOf(body: Readable, maximumBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maximumBytes) throw new Error(`the answer is longer than ${maximumBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** For work that others share, so it goes on. */
async function abortable<Value>(work: Promise<Value>, signal: AbortSignal): Promise<Value> {
  const { promise, reject } = Promise.withResolvers<never>();
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
