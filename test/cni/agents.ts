import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { TestContext } from 'node:test';

import { CniServer } from '../../node-agent/main/cni-server.ts';
import type { CniHandler, CniRequest } from '../../node-agent/main/cni-server.ts';
import type { Logger } from '../../node-agent/log.ts';

export const silentLog = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
} satisfies Logger;

export interface ServedCall {
  readonly request: CniRequest;
  readonly signal: AbortSignal;
}

/** The agent's own server, with a handler that notes the calls and then does what the test says. */
export async function startAgent(
  t: TestContext,
  path: string,
  answer: (request: CniRequest, signal: AbortSignal) => Promise<void> = () => Promise.resolve(),
  log: Logger = silentLog,
): Promise<{ readonly server: CniServer; readonly calls: readonly ServedCall[] }> {
  const calls: ServedCall[] = [];
  const handle = (request: CniRequest, signal: AbortSignal): Promise<void> => {
    calls.push({ request, signal });
    return answer(request, signal);
  };
  const handler: CniHandler = { add: handle, del: handle, check: handle, gc: handle };
  const server = new CniServer({ path, handler, log });
  await server.listen();
  t.after(() => server.close());
  return { server, calls };
}

async function startFake(t: TestContext, path: string, serve: (socket: Socket) => void): Promise<void> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    serve(socket);
  });
  server.listen(path);
  await once(server, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

/** Accepts and reads, and never answers. */
export function startHungAgent(t: TestContext, path: string): Promise<void> {
  return startFake(t, path, (socket) => socket.resume());
}

/** Accepts and does not even read. */
export function startDeafAgent(t: TestContext, path: string): Promise<void> {
  return startFake(t, path, (socket) => socket.pause());
}

/** Sends a good answer so slowly that it never ends in time. */
export function startDribblingAgent(t: TestContext, path: string): Promise<void> {
  return startFake(t, path, (socket) => {
    const body = '{"ok":true}'.padEnd(1000);
    const answer = Buffer.concat([Buffer.from([0, 0, body.length >> 8, body.length & 255]), Buffer.from(body)]);
    let sent = 0;
    const timer = setInterval(() => socket.write(answer.subarray(sent, ++sent)), 20);
    socket.resume().on('close', () => {
      clearInterval(timer);
    });
  });
}

/** Answers with these bytes, whatever they are, and closes. */
export function startFixedAgent(t: TestContext, path: string, answer: Uint8Array): Promise<void> {
  return startFake(t, path, (socket) => socket.resume().end(answer));
}

/** Listens without ever accepting, and its backlog is full: connect(2) waits. */
export async function startFullAgent(t: TestContext, path: string): Promise<void> {
  const program = `require('node:net').createServer().listen({ path: ${JSON.stringify(path)}, backlog: 1 }, () => {
    require('node:fs').writeSync(1, 'listening');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  })`;
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 60_000 });
  t.after(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  for (let filled = 0; filled < 4; filled++) {
    const socket = connect(path).on('error', () => undefined);
    t.after(() => socket.destroy());
  }
}
