import { renameSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';

const standAsideMs = 5000;
/** Until peers, whom the controller tells, rely on no pod of the node any more, and its capture has ended. */
export const leaveDeadlineMs = 40_000;

/** `main`: another process is to be main. `leave`: the node is to leave the mesh. */
export type Request = 'main' | 'leave';

export interface HandOverOptions {
  readonly runDir: string;
  readonly request: Request;
  /** Resolves when it has been done. */
  readonly serve: () => Promise<void>;
  /** Whoever asked for it has gone, before or after it was answered. */
  readonly onGone?: () => void;
}

/**
 * Where a main process is asked for something by the one that follows it. A signal would do, but does not reach another container. Who
 * asks connects, and is answered by the end of the connection's direction to it.
 */
export class HandOver {
  readonly #path: string;
  readonly #server: Server;

  constructor({ runDir, request, serve, onGone }: HandOverOptions) {
    this.#path = socketPath(runDir, request);
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => undefined); // who asked may have ended
      socket.on('end', () => socket.end());
      socket.on('close', () => onGone?.());
      socket.resume();
      serve().then(
        () => socket.end(),
        () => socket.destroy(),
      );
    });
  }

  /** The socket's file is put in place by rename(2), over that of whoever was asked before. */
  async listen(): Promise<void> {
    const temporary = `${this.#path}.new`;
    rmSync(temporary, { force: true });
    const umask = process.umask(0o177);
    this.#server.listen(temporary);
    process.umask(umask);
    await once(this.#server, 'listening');
    renameSync(temporary, this.#path);
  }

  /** Those that were asked are answered. */
  close(): void {
    this.#server.close();
  }
}

/** Resolves when no other process is main, as far as the socket leads to one; one that does not answer in time is taken for dead. */
export async function askToStandAside(runDir: string): Promise<void> {
  (await ask(runDir, 'main', standAsideMs)).destroy();
}

/**
 * Has the main process that runs take its pods out of the mesh. Resolves when it has, could not in time, or there is none.
 * @returns lets go of it: it starts anew then, unless it is not main any more
 */
export async function askToLeave(runDir: string, deadlineMs: number): Promise<() => void> {
  const socket = await ask(runDir, 'leave', deadlineMs);
  return () => socket.destroy();
}

async function ask(runDir: string, request: Request, deadlineMs: number): Promise<Socket> {
  const socket = connect({ path: socketPath(runDir, request), allowHalfOpen: true });
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, deadlineMs);
  socket.resume();
  socket.on('error', () => undefined); // nobody is there
  socket.once('end', resolve);
  socket.once('close', resolve);
  await promise;
  clearTimeout(timer);
  return socket;
}

function socketPath(runDir: string, request: Request): string {
  return join(runDir, `${request}.sock`);
}
