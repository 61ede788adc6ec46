import type { ChildProcess } from 'node:child_process';

import type { LabPod, ProcessOptions } from '../lab/pod.ts';

const tools = new URL('../tools/', import.meta.url).pathname;
export const tcpload = new URL('../../build/tcpload', import.meta.url).pathname;
export const meshPlugin = process.env['WEFT_CNI_PLUGIN'] ?? new URL('../../build/weft-cni', import.meta.url).pathname;

const listenDeadlineMs = 5000;

export type Endpoint = readonly [address: string, port: number];

export interface Dialed {
  readonly local?: Endpoint;
  readonly peer?: Endpoint;
  readonly server?: { readonly accept: Endpoint; readonly getpeername: Endpoint };
  readonly error?: string;
}

/** For namespaces in which whoami() serves clients outside the mesh: it speaks first, so the agent must not wait for the client. */
export const whoamiPorts = { 'config.linkerd.io/opaque-ports': '8080-8099' };

/** A server that tells each client as whom it is seen. Resolves once it listens. */
export async function whoami(pod: LabPod, address: string, port: number, ...more: string[]): Promise<void> {
  await listening(pod, ['/usr/bin/python3', `${tools}whoami.py`, address, String(port), ...more]);
}

/** `ports`: one, or a range as 9000-9099. */
export async function echo(pod: LabPod, ports: number | string): Promise<void> {
  await listening(pod, [tcpload, 'serve', String(ports)]);
}

/** An app of HTTP/1.1 that tells what it has received. */
export async function httpServer(pod: LabPod, port: number): Promise<void> {
  await listening(pod, [process.execPath, `${tools}http-server.ts`, String(port)]);
}

/** An app of HTTP/2 without TLS. */
export async function http2Server(pod: LabPod, port: number): Promise<void> {
  await listening(pod, [process.execPath, `${tools}http2-server.ts`, String(port)]);
}

export async function grpcServer(pod: LabPod, port: number): Promise<void> {
  await listening(pod, [process.execPath, `${tools}grpc-server.ts`, String(port)]);
}

/** A server that says one byte before it echoes. */
export async function greet(pod: LabPod, port: number): Promise<void> {
  await listening(pod, [tcpload, 'greet', String(port)]);
}

/** Resolves once the server has said its first word. */
export async function listening(pod: LabPod, command: string[]): Promise<ChildProcess> {
  const server = pod.spawn(command);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const timer = setTimeout(() => {
    reject(new Error(`${command.join(' ')} does not listen`));
  }, listenDeadlineMs);
  server.stdout?.once('data', resolve);
  server.once('exit', () => {
    reject(new Error(`${command.join(' ')} ended`));
  });
  await promise.finally(() => {
    clearTimeout(timer);
  });
  return server;
}

export async function dial(
  pod: LabPod,
  kind: string,
  address: string,
  port: number,
  options: ProcessOptions = {},
): Promise<Dialed> {
  const { stdout, stderr } = await pod.run(
    ['/usr/bin/python3', `${tools}dial.py`, kind, address, String(port)],
    options,
  );
  return parse(stdout, stderr) as Dialed;
}

export interface Said {
  readonly answer: string;
  readonly error: string | null;
  readonly ms: number;
}

/** To a server that echoes; with "-" to one that speaks first. */
export async function say(pod: LabPod, address: string, port: number, text: string, seconds = 10): Promise<Said> {
  const command = ['/usr/bin/python3', `${tools}say.py`, address, String(port), text, String(seconds)];
  const { stdout, stderr } = await pod.run(command, { timeoutMs: seconds * 1000 + 5000 });
  return parse(stdout, stderr) as Said;
}

export async function rawSyn(
  pod: LabPod,
  address: string,
  port: number,
  options: ProcessOptions,
): Promise<{ sent: boolean; answered: boolean }> {
  const { stdout, stderr } = await pod.run(
    ['/usr/bin/python3', `${tools}rawsyn.py`, pod.ipv4, address, String(port)],
    options,
  );
  return parse(stdout, stderr) as { sent: boolean; answered: boolean };
}

export interface LoadResult {
  readonly succeeded: number;
  readonly failed: number;
  readonly errors: Readonly<Record<string, number>>;
}

/** `rate` in connections per second; 0 as fast as it goes. 'greeted': of a server that speaks first. */
export async function churn(
  pod: LabPod,
  address: string,
  ports: number | string,
  connections: number,
  concurrency: number,
  rate: number,
  how: 'churn' | 'greeted' = 'churn',
): Promise<LoadResult> {
  const command = [tcpload, how, address, String(ports), String(connections), String(concurrency), String(rate)];
  const { stdout, stderr } = await pod.run(command, { timeoutMs: 240_000 });
  return parse(stdout, stderr) as LoadResult;
}

/** Opens connections and holds them; `finish` proves each once more and tells how many still worked. */
export async function hold(
  pod: LabPod,
  address: string,
  port: number,
  connections: number,
): Promise<{ finish: () => Promise<LoadResult> }> {
  const holder = pod.spawn([tcpload, 'hold', address, String(port), String(connections)]);
  let output = '';
  const { promise: holding, resolve, reject } = Promise.withResolvers<void>();
  const ended = new Promise<void>((end) => holder.once('close', () => end()));
  holder.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
    if (output.includes('holding')) resolve();
  });
  void ended.then(() => {
    reject(new Error(`the connections could not be opened: ${output}`));
  });
  await holding;
  return {
    finish: async () => {
      holder.stdin?.end();
      await ended;
      return parse(output.slice(output.indexOf('{')), '') as LoadResult;
    },
  };
}

function parse(stdout: string, stderr: string): unknown {
  try {
    return JSON.parse(stdout);
  } catch {
    throw new Error(`no JSON: ${stdout}${stderr}`);
  }
}

export async function waitUntil(
  condition: () => boolean | Promise<boolean>,
  deadlineMs: number,
  what: string,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
