import { chmodSync, renameSync, statSync, unlinkSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';

import type { Logger } from '../log.ts';
import type { CniRequest } from './cni-request.ts';
import { CniError, cniErrorCodes, parseCniRequest } from './cni-request.ts';

export type { CniRequest } from './cni-request.ts';

const maximumRequestBytes = 2 * 1024 * 1024; // the plugin takes 1 MiB of configuration; the environment comes on top
const maximumConnections = 256;
const requestDeadlineMs = 5000;

/** What a call means. Rejecting fails the call: with the error's own code, or "try again later". */
export interface CniHandler {
  add(request: CniRequest): Promise<void>;
  del(request: CniRequest): Promise<void>;
  check(request: CniRequest): Promise<void>;
  gc(request: CniRequest): Promise<void>;
}

export interface CniServerOptions {
  readonly path: string;
  readonly handler: CniHandler;
  readonly log: Logger;
}

/**
 * Answers the CNI plugin: one request and one answer a connection, each a 4-byte big-endian length and JSON. The socket's file is put in
 * place by rename(2), so a successor takes over without a moment in which the plugin finds none.
 */
export class CniServer {
  readonly #options: CniServerOptions;
  readonly #server: Server;
  #inode = 0n;

  constructor(options: CniServerOptions) {
    this.#options = options;
    this.#server = createServer((socket) => {
      this.#serve(socket);
    });
    this.#server.maxConnections = maximumConnections;
  }

  async listen(): Promise<void> {
    const { path, log } = this.#options;
    const temporary = `${path}.${process.pid}`;
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(temporary, resolve);
    });
    this.#server.on('error', (error) => {
      log.error({ error }, 'the CNI socket failed');
    });
    chmodSync(temporary, 0o600);
    this.#inode = statSync(temporary, { bigint: true }).ino;
    renameSync(temporary, path);
  }

  /** Leaves the file alone where it is a successor's already. */
  async close(): Promise<void> {
    const { path } = this.#options;
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    if (statSync(path, { bigint: true, throwIfNoEntry: false })?.ino === this.#inode) unlinkSync(path);
    await closed;
  }

  #serve(socket: Socket): void {
    const chunks: Buffer[] = [];
    let received = 0;
    socket.setTimeout(requestDeadlineMs, () => socket.destroy());
    socket.on('error', () => socket.destroy()); // a plugin that went away has got its answer from itself
    socket.on('data', (chunk) => {
      chunks.push(chunk as Buffer);
      received += chunk.length;
      if (received < 4) return;
      const request = Buffer.concat(chunks);
      const length = request.readUInt32BE(0);
      if (length > maximumRequestBytes) {
        answer(socket, new CniError(cniErrorCodes.invalidConfig, `the request has ${length} bytes; ${maximumRequestBytes} are allowed`));
      } else if (received >= 4 + length) {
        socket.removeAllListeners('data');
        void this.#handle(request.toString('utf8', 4, 4 + length)).then((error) => {
          answer(socket, error);
        });
      }
    });
  }

  async #handle(message: string): Promise<CniError | undefined> {
    const { handler, log } = this.#options;
    try {
      const request = parseCniRequest(message);
      const calls = { ADD: handler.add, DEL: handler.del, CHECK: handler.check, GC: handler.gc };
      await calls[request.command].call(handler, request);
      return undefined;
    } catch (error) {
      if (error instanceof CniError) return error;
      log.error({ error }, 'a CNI call failed');
      const reason = error instanceof Error ? error.message : String(error);
      return new CniError(cniErrorCodes.tryAgainLater, `the weft agent of this node failed: ${reason}`, "see the agent's log");
    }
  }
}

function answer(socket: Socket, error: CniError | undefined): void {
  const content = error ? { ok: false, error: { code: error.code, msg: error.message, details: error.details } } : { ok: true };
  const body = Buffer.from(JSON.stringify(content));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  socket.end(Buffer.concat([length, body]));
}
