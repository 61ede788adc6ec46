import { once } from 'node:events';
import type { ClientHttp2Session } from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import { isIP } from 'node:net';
import { connect as connectTls } from 'node:tls';

import type { ApiTls } from './api-access.ts';

const connectMs = 10_000;
const pingMs = 15_000;
/** Of a stream, and of the session: Node's own 64 KiB make a long list wait for the network. */
const streamWindow = 1024 * 1024;
const sessionWindow = 16 * 1024 * 1024;

/**
 * One HTTP/2 session to the API server, kept while it answers pings: a peer that is gone without a word is noticed within 30 s, which
 * HTTP/1.1 cannot. Undefined where the server does not speak HTTP/2.
 */
export class ApiSession {
  readonly #url: URL;
  #session: Promise<ClientHttp2Session | undefined> | undefined;

  constructor(url: URL) {
    this.#url = url;
  }

  async get(tls: ApiTls): Promise<ClientHttp2Session | undefined> {
    const session = (this.#session ??= this.#connect(tls));
    try {
      return await session;
    } catch (error) {
      this.#forget(session);
      throw error;
    }
  }

  async close(): Promise<void> {
    const session = await this.#session?.catch(() => undefined);
    session?.destroy();
  }

  #forget(session: Promise<unknown> | undefined): void {
    if (this.#session === session) this.#session = undefined;
  }

  async #connect(tls: ApiTls): Promise<ClientHttp2Session | undefined> {
    const host = this.#url.hostname.replace(/^\[|\]$/g, '');
    const socket = connectTls({
      host,
      port: Number(this.#url.port || 443),
      ALPNProtocols: ['h2', 'http/1.1'],
      ...(isIP(host) === 0 && { servername: host }),
      ...tls,
    });
    try {
      await once(socket, 'secureConnect', { signal: AbortSignal.timeout(connectMs) });
    } catch (error) {
      socket.destroy();
      throw error;
    }
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
      return undefined;
    }
    const session = connectHttp2(this.#url, {
      createConnection: () => socket,
      settings: { initialWindowSize: streamWindow, enablePush: false },
    });
    session.once('connect', () => {
      if (!session.destroyed) session.setLocalWindowSize(sessionWindow); // which throws where the peer was faster
    });
    this.#keepWatch(session);
    return session;
  }

  #keepWatch(session: ClientHttp2Session): void {
    const own = this.#session;
    let answered = true;
    const pings = setInterval(() => {
      if (!answered || session.destroyed) {
        session.destroy();
        return;
      }
      answered = false;
      session.ping((error) => (answered = error === null));
    }, pingMs);
    pings.unref();
    const end = (): void => this.#forget(own);
    session.on('error', end); // its streams get the error as well
    session.on('goaway', end); // its streams may end in peace
    session.on('close', () => {
      clearInterval(pings);
      end();
    });
  }
}
