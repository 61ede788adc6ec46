import { renameSync, rmSync, statSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';

import { WeftError } from '../../mesh/errors.ts';
import type { Logger } from '../log.ts';
import { CniError } from './cni-errors.ts';
import { encodeMessage, readMessage } from './cni-message.ts';
import type { CniRequest } from './cni-request.ts';
import { parseCniRequest } from './cni-request.ts';
import { messageOf } from '../../mesh/message-of.ts';

export type { CniRequest } from './cni-request.ts';

const maximumRequestBytes = 1024 * 1024 + 64 * 1024; // what the plugin takes at most: configuration and environment
const maximumConnections = 256;
const deadlineMs = 1700; // the plugin waits 1800

/**
 * What a call means. Rejecting fails the call: with a CniError's own code, with "try again later" for a WeftError. The signal aborts
 * when nobody waits for the answer any more.
 */
export interface CniHandler {
  add(request: CniRequest, signal: AbortSignal): Promise<void>;
  del(request: CniRequest, signal: AbortSignal): Promise<void>;
  check(request: CniRequest, signal: AbortSignal): Promise<void>;
  gc(request: CniRequest, signal: AbortSignal): Promise<void>;
}

export interface CniServerOptions {
  readonly path: string;
  readonly handler: CniHandler;
  readonly log: Logger;
}

/**
 * Answers the CNI plugin, one request a connection. A call beyond the bound or past the deadline is not answered at all: the plugin then
 * goes by the namespaces file, so that pods outside of the mesh start whatever the agent suffers from.
 */
export class CniServer {
  readonly #options: CniServerOptions;
  readonly #server: Server;
  readonly #connections = new Set<Socket>();
  #inode = 0n;

  constructor(options: CniServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => {
      this.#serve(socket);
    });
    this.#server.maxConnections = maximumConnections;
    this.#server.on('drop', () => {
      options.log.warn({ maximumConnections }, 'too many CNI calls at once');
    });
  }

  /** The socket's file is put in place by rename(2): a successor takes over without a moment in which the plugin finds none. */
  async listen(): Promise<void> {
    const { path, log } = this.#options;
    const temporary = `${path}.${process.pid}`;
    rmSync(temporary, { force: true });
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      const umask = process.umask(0o177); // listen() binds at once; a later chmod would leave a moment open to everybody
      this.#server.listen(temporary, resolve);
      process.umask(umask);
    });
    this.#server.removeAllListeners('error').on('error', (error) => {
      log.error({ error }, 'the CNI socket failed');
    });
    this.#inode = statSync(temporary, { bigint: true }).ino;
    renameSync(temporary, path);
  }

  /** Leaves the file alone where it is a successor's already. */
  async close(): Promise<void> {
    const { path } = this.#options;
    if (statSync(path, { bigint: true, throwIfNoEntry: false })?.ino === this.#inode) rmSync(path, { force: true });
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    for (const socket of this.#connections) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    const closed = new AbortController();
    const deadline = setTimeout(() => {
      this.#options.log.warn({ deadlineMs }, 'a CNI call could not be answered in time');
      socket.destroy();
    }, deadlineMs);
    this.#connections.add(socket);
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => {
      clearTimeout(deadline);
      this.#connections.delete(socket);
      closed.abort();
    });
    this.#answer(socket, closed.signal).catch(() => socket.destroy());
  }

  async #answer(socket: Socket, signal: AbortSignal): Promise<void> {
    const message = await readMessage(socket, maximumRequestBytes);
    const error =
      message === undefined
        ? new CniError('invalidConfig', `the request is longer than ${maximumRequestBytes} bytes`)
        : await this.#handle(message, signal);
    if (signal.aborted) return;
    socket.write(
      encodeMessage(
        error ? { ok: false, error: { code: error.code, msg: error.message, details: error.details } } : { ok: true },
      ),
    );
    socket.destroySoon();
  }

  async #handle(message: string, signal: AbortSignal): Promise<CniError | undefined> {
    const { log } = this.#options;
    try {
      await this.#call(parseCniRequest(message), signal);
      return undefined;
    } catch (error) {
      if (error instanceof CniError) return error;
      log.error({ error }, 'a CNI call failed');
      if (error instanceof WeftError)
        return new CniError('tryAgainLater', `${error.code}: ${error.message}`, { details: error.hint });
      return new CniError('agentDefect', `the weft agent of this node failed: ${messageOf(error)}`);
    }
  }

  #call(request: CniRequest, signal: AbortSignal): Promise<void> {
    const { handler } = this.#options;
    switch (request.command) {
      case 'ADD':
        return handler.add(request, signal);
      case 'DEL':
        return handler.del(request, signal);
      case 'CHECK':
        return handler.check(request, signal);
      case 'GC':
        return handler.gc(request, signal);
    }
  }
}
