import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { Http2SecureServer } from 'node:http2';
import { createSecureServer } from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';

import type { ApiAccess } from './api-access.ts';

export interface RawObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  } & Record<string, unknown>;
  readonly [field: string]: unknown;
}

/** What happens to the next requests of a kind, each once. */
export type Fault =
  | { readonly status: number; readonly message?: string; readonly headers?: Record<string, string> }
  /** The connection ends without an answer, or in the middle of it. */
  | 'reset'
  | 'half'
  /** An answer that comes late. */
  | { readonly delayMs: number }
  /** Not at all. */
  | 'silence'
  /** An answer of 200 that is no JSON. */
  | 'garbage';

export interface FakeRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

interface Event {
  readonly revision: number;
  readonly path: string;
  readonly type: string;
  readonly object: unknown;
}

interface Watcher {
  readonly path: string;
  readonly response: ServerResponse;
}

export interface FakeApiServerOptions {
  /** PEM; over plain HTTP without. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly protocol?: 'h2' | 'http/1.1';
  readonly token?: string;
}

/**
 * An API server as far as list and watch go: revisions, pages, bookmarks, a history that is compacted; and everything that can go wrong
 * with it.
 */
export class FakeApiServer {
  readonly requests: URL[] = [];
  /** By path; others, such as reviews of tokens. */
  readonly handlers = new Map<string, (request: FakeRequest) => { status: number; body: unknown } | undefined>();
  /** What is asked for other than by HTTP. */
  onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void = (_, socket) => socket.destroy();
  readonly #options: FakeApiServerOptions;
  readonly #server: Server | Http2SecureServer;
  readonly #sockets = new Set<Socket>();
  readonly #objects = new Map<string, Map<string, RawObject>>();
  readonly #watchers = new Set<Watcher>();
  readonly #faults = new Map<string, Fault[]>();
  #history: Event[] = [];
  #compacted = 0;
  #revision = 1;
  #pages = new Map<string, { readonly items: RawObject[]; readonly revision: number }>();
  pageLimit = Infinity;

  constructor(paths: readonly string[], options: FakeApiServerOptions = {}) {
    this.#options = options;
    for (const path of paths) this.#objects.set(path, new Map());
    const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
      response.on('error', () => undefined); // a client that went away
      request.on('error', () => undefined);
      void this.#serve(request, response);
    };
    const { tls, protocol } = options;
    this.#server = tls
      ? createSecureServer(
          { ...tls, allowHTTP1: true, ALPNProtocols: [protocol ?? 'h2'] },
          onRequest as unknown as Parameters<typeof createSecureServer>[1], // alike as far as they are used here
        )
      : createServer(onRequest);
    const keep = (socket: Socket): void => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => undefined);
    };
    this.#server.on(tls ? 'secureConnection' : 'connection', keep);
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.onUpgrade(request, socket, head);
    });
    this.#server.on('sessionError', () => undefined);
  }

  async listen(port = 0): Promise<ApiAccess> {
    this.#server.listen(port, '127.0.0.1');
    await once(this.#server, 'listening');
    const { tls, token } = this.#options;
    return {
      url: new URL(`${tls ? 'https' : 'http'}://127.0.0.1:${(this.#server.address() as AddressInfo).port}`),
      credentials: () =>
        Promise.resolve({
          headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
          tls: tls ? { ca: tls.cert } : {},
        }),
    };
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.dropConnections();
    await closed;
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** Of a kind, as the server has them. */
  objects(path: string): RawObject[] {
    return [...this.#of(path).values()];
  }

  apply(path: string, object: RawObject): void {
    const key = keyOf(object);
    const type = this.#of(path).has(key) ? 'MODIFIED' : 'ADDED';
    this.#change(path, type, object);
  }

  remove(path: string, key: string): void {
    const object = this.#of(path).get(key);
    if (object !== undefined) this.#change(path, 'DELETED', object);
  }

  /** Nothing before now can be watched from any more. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#history = [];
    this.#pages.clear();
  }

  /** As after a restore: what was counted is forgotten, and the objects count from one again. */
  restart(revision = 1): void {
    this.#revision = revision;
    this.#compacted = 0;
    this.#history = [];
    for (const objects of this.#objects.values()) {
      for (const [key, object] of objects) objects.set(key, withRevision(object, revision));
    }
    this.dropConnections();
  }

  bookmark(): void {
    for (const { response } of this.#watchers) {
      const object = { metadata: { resourceVersion: `${this.#revision}` } };
      response.write(lineOf({ type: 'BOOKMARK', object }));
    }
  }

  /** To all watchers, as it is. */
  write(text: string): void {
    for (const { response } of this.#watchers) response.write(text);
  }

  endWatches(): void {
    for (const { response } of this.#watchers) response.end();
    this.#watchers.clear();
  }

  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#watchers.clear();
  }

  fail(path: string, verb: 'list' | 'watch' | 'post' | 'put' | 'patch', ...faults: readonly Fault[]): void {
    const key = `${verb} ${path}`;
    this.#faults.set(key, [...(this.#faults.get(key) ?? []), ...faults]);
  }

  heal(): void {
    this.#faults.clear();
  }

  #of(path: string): Map<string, RawObject> {
    const objects = this.#objects.get(path);
    if (objects === undefined) throw new Error(`the fake serves no ${path}`);
    return objects;
  }

  #change(path: string, type: string, changed: RawObject): void {
    const revision = ++this.#revision;
    const object = withRevision(changed, revision);
    if (type === 'DELETED') this.#of(path).delete(keyOf(object));
    else this.#of(path).set(keyOf(object), object);
    this.#history.push({ revision, path, type, object });
    for (const watcher of this.#watchers) {
      if (watcher.path === path) watcher.response.write(lineOf({ type, object }));
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '', 'http://fake');
    this.requests.push(url);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      return;
    }
    const isWatch = url.searchParams.get('watch') === 'true';
    const { method = 'GET' } = request;
    const verb = method !== 'GET' ? method.toLowerCase() : isWatch ? 'watch' : 'list';
    const fault = this.#faults.get(`${verb} ${url.pathname}`)?.shift();
    if (fault !== undefined && !(await this.#misbehave(fault, response))) return;
    const { token } = this.#options;
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      refuse(response, 401, 'Unauthorized');
      return;
    }
    const handler = this.handlers.get(url.pathname);
    if (handler !== undefined) {
      const answer = handler({ method, url, headers: request.headers, body: Buffer.concat(chunks).toString() });
      if (answer === undefined) refuse(response, 404, 'not found');
      else {
        const { body } = answer; // what the server passes on from elsewhere is text
        send(response, answer.status, typeof body === 'string' ? body : JSON.stringify(body));
      }
    } else if (!this.#objects.has(url.pathname))
      refuse(response, 404, 'the server could not find the requested resource');
    else if (isWatch) this.#watch(url, response);
    else this.#list(url, response);
  }

  /** @returns whether it is served after all */
  async #misbehave(fault: Fault, response: ServerResponse): Promise<boolean> {
    if (fault === 'reset') response.socket?.destroy();
    else if (fault === 'garbage') send(response, 200, '{"items": [}\n');
    else if (fault === 'half') {
      response.writeHead(200);
      response.write('{"metadata":{"resourceVersion":"1"},"items":[');
      setTimeout(() => response.socket?.destroy(), 2);
    } else if (typeof fault === 'object' && 'delayMs' in fault) {
      await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
      return true;
    } else if (fault !== 'silence') refuse(response, fault.status, fault.message ?? 'made to fail', fault.headers);
    return false;
  }

  #list(url: URL, response: ServerResponse): void {
    const { searchParams: query, pathname } = url;
    const limit = Math.min(Number(query.get('limit') ?? Infinity), this.pageLimit);
    const token = query.get('continue');
    const from = token === null ? undefined : this.#pages.get(token);
    if (token !== null && from === undefined) {
      refuse(response, 410, 'The provided continue parameter is too old');
      return;
    }
    if (Number(query.get('resourceVersion') ?? 0) > this.#revision) {
      refuse(response, 504, 'Too large resource version');
      return;
    }
    const { items, revision } = from ?? { items: this.objects(pathname), revision: this.#revision };
    const rest = items.slice(limit);
    const next = rest.length > 0 ? `${revision}-${rest.length}-${this.#pages.size}` : '';
    if (next !== '') this.#pages.set(next, { items: rest, revision });
    const metadata = { resourceVersion: `${revision}`, ...(next !== '' && { continue: next }) };
    send(response, 200, JSON.stringify({ kind: 'List', metadata, items: items.slice(0, limit) }));
  }

  #watch(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    if (from > this.#revision) {
      refuse(response, 504, 'Too large resource version');
      return;
    }
    if (from < this.#compacted) {
      // Servers tell it either way.
      if (from % 2 === 0) refuse(response, 410, 'too old resource version');
      else send(response, 200, lineOf({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired' } }));
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    for (const { revision, path, type, object } of this.#history) {
      if (path === url.pathname && revision > from) response.write(lineOf({ type, object }));
    }
    const watcher = { path: url.pathname, response };
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }
}

export function keyOf({ metadata: { namespace, name } }: RawObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

function withRevision(object: RawObject, revision: number): RawObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion: `${revision}` } };
}

function lineOf(event: object): string {
  return `${JSON.stringify(event)}\n`;
}

function refuse(response: ServerResponse, code: number, message: string, headers: Record<string, string> = {}): void {
  send(response, code, JSON.stringify({ kind: 'Status', status: 'Failure', code, message }), headers);
}

function send(response: ServerResponse, status: number, body: string, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body);
}
