import { renameSync, rmSync } from 'node:fs';
import type { Server } from 'node:net';
import { connect, createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';

const deadlineMs = 5000;

/**
 * Where a main process is asked to stand aside by the one that follows it. A signal would do, but does not reach another container. Who
 * asks connects, and is answered by the end of the connection.
 */
export class HandOver {
  readonly #path: string;
  readonly #server: Server;

  /** @param standAside resolves when this process has stopped being main */
  constructor(runDir: string, standAside: () => Promise<void>) {
    this.#path = socketPath(runDir);
    this.#server = createServer((socket) => {
      socket.on('error', () => undefined); // who asked may have ended
      standAside().then(
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
  const socket = connect(socketPath(runDir));
  const timer = setTimeout(() => socket.destroy(), deadlineMs);
  socket.resume();
  socket.on('error', () => undefined); // nobody is there
  await new Promise((resolve) => socket.once('close', resolve));
  clearTimeout(timer);
}

function socketPath(runDir: string): string {
  return join(runDir, 'main.sock');
}
