/**
 * Steady traffic of all kinds to a traffic-server.ts, on new connections and on kept ones, until a file STOP exists. Nothing is tried
 * again. Arguments: ADDRESS, its ports for HTTP/1.1, gRPC and TCP, STOP, beginnings per second of each kind, and
 * the kinds (all, where none are named). Prints a line once each was served, and at last what became of all, as JSON of traffic-result.ts.
 */
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Agent, request } from 'node:http';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import type { ClientDuplexStream } from '@grpc/grpc-js';
import { Client, credentials, Metadata } from '@grpc/grpc-js';

import { methods, same } from './grpc-service.ts';
import type { Failure, KindOfTraffic, TrafficResult } from './traffic-result.ts';

const [host = '', httpPort = '', grpcPort = '', tcpPort = '', stopFile = '', rate = '', ...wanted] =
  process.argv.slice(2);
/** Longer than a SYN waits that was dropped three times. */
const deadlineMs = 15_000;
const periodMs = 1000 / Number(rate);
/** Of messages on what stays open. */
const messageMs = 50;
const mostAtOnce = 1024;

const result: Record<string, { attempts: number; failures: Failure[] }> = {};
let stopped = false;

function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'no error';
  return `${(error as NodeJS.ErrnoException).code ?? ''} ${error.message}`;
}

function note(kind: KindOfTraffic, startedAt: number, error?: unknown): void {
  const { attempts, failures } = (result[kind] ??= { attempts: 0, failures: [] });
  result[kind].attempts = attempts + 1;
  if (error === undefined) return;
  failures.push({ at: startedAt, lastedMs: Date.now() - startedAt, error: describe(error) });
}

function exchange(agent: Agent | false, method: 'GET' | 'POST'): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const asked = request({ host, port: httpPort, agent, method, timeout: deadlineMs }, (response) => {
    response.resume();
    response.once('error', reject);
    response.once('end', () => {
      if (response.statusCode === 200) resolve();
      else reject(new Error(`${response.statusCode} ${String(response.headers['l5d-proxy-error'])}`));
    });
  });
  asked.on('timeout', () => asked.destroy(new Error('timed out')));
  asked.on('error', reject);
  asked.end(method === 'POST' ? 'x'.repeat(100) : undefined);
  return promise;
}

function call(client: Client): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const deadline = Date.now() + deadlineMs;
  client.makeUnaryRequest(methods.unary.path, same, same, Buffer.from('x'), new Metadata(), { deadline }, (error) => {
    if (error === null) resolve();
    else reject(error);
  });
  return promise;
}

function makeClient(): Client {
  // Otherwise all clients of one address share their connections.
  return new Client(`${host}:${grpcPort}`, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
}

async function callAnew(): Promise<void> {
  const client = makeClient();
  try {
    await call(client);
  } finally {
    client.close();
  }
}

async function open(): Promise<Socket> {
  const socket = connect(Number(tcpPort), host);
  socket.setTimeout(deadlineMs, () => socket.destroy(new Error('timed out')));
  await once(socket, 'connect');
  return socket;
}

type Stream = ClientDuplexStream<Buffer, Buffer>;

/** Says something and hears it again, on a connection or a stream that may break at any time. */
class Talk {
  readonly #on: Socket | Stream;
  #answered: (() => void) | undefined;
  readonly #broken: Promise<never>;

  constructor(on: Socket | Stream) {
    this.#on = on;
    this.#broken = new Promise((_resolve, reject) => {
      on.once('error', reject).once('end', () => reject(new Error('ended')));
      on.once('close', () => reject(new Error('closed')));
    });
    this.#broken.catch(() => undefined); // it is told to whoever says something next
    on.on('data', () => this.#answered?.());
  }

  async say(): Promise<void> {
    const answered = new Promise<void>((resolve) => {
      this.#answered = resolve;
    });
    (this.#on as NodeJS.WritableStream).write(Buffer.from('hello'));
    await Promise.race([answered, this.#broken]);
  }
}

async function sayOnce(): Promise<void> {
  const socket = await open();
  try {
    await new Talk(socket).say();
  } finally {
    socket.destroy();
  }
}

/** What is opened is used until it breaks; then another. */
async function keepTalking(kind: KindOfTraffic, begin: () => Promise<Socket | Stream>): Promise<void> {
  let talk: Talk | undefined;
  let since = Date.now();
  while (!stopped) {
    try {
      if (talk === undefined) {
        since = Date.now();
        talk = new Talk(await begin());
      }
      await talk.say();
      note(kind, since);
    } catch (error) {
      note(kind, since, error);
      talk = undefined;
    }
    await delay(messageMs);
  }
}

function stream(): Promise<Stream> {
  return Promise.resolve(streams.makeBidiStreamRequest(methods.echo.path, same, same));
}

/** Begins at its pace whatever the ones before take, up to a bound. */
async function repeat(kind: KindOfTraffic, attempt: () => Promise<void>): Promise<void> {
  const underWay = new Set<Promise<void>>();
  for (let due = performance.now(); !stopped; due += periodMs) {
    await delay(Math.max(0, due - performance.now()));
    if (underWay.size >= mostAtOnce) {
      note(kind, Date.now(), new Error('too many are under way'));
      continue;
    }
    const startedAt = Date.now();
    const one = attempt()
      .then(
        () => {
          note(kind, startedAt);
        },
        (error: unknown) => {
          note(kind, startedAt, error);
        },
      )
      .finally(() => underWay.delete(one));
    underWay.add(one);
  }
  await Promise.all(underWay);
}

/** All connections are used in turn: one that rests is cut at the end of a drain, maybe just as a request is sent. */
const kept = new Agent({ keepAlive: true, maxSockets: 64, scheduling: 'fifo' });
const client = makeClient();
const streams = makeClient();
let count = 0;
const method = (): 'GET' | 'POST' => (count++ % 2 === 0 ? 'GET' : 'POST');
const short: [KindOfTraffic, () => Promise<void>][] = [
  ['http-new', () => exchange(false, method())],
  ['http-kept', () => exchange(kept, method())],
  ['grpc-new', callAnew],
  ['grpc-kept', () => call(client)],
  ['tcp-new', sayOnce],
];
const long: [KindOfTraffic, () => Promise<void>][] = [
  ['tcp-kept', () => keepTalking('tcp-kept', open)],
  ['grpc-stream', () => keepTalking('grpc-stream', stream)],
];
const isWanted = ([kind]: readonly [KindOfTraffic, unknown]): boolean => wanted.length === 0 || wanted.includes(kind);
for (const [, attempt] of short.filter(isWanted)) await attempt();
console.log('served');
const running = [
  ...short.filter(isWanted).map(([kind, attempt]) => repeat(kind, attempt)),
  ...long.filter(isWanted).map(([, keep]) => keep()),
];
while (!existsSync(stopFile)) await delay(100);
stopped = true;
await Promise.all(running);
console.log(JSON.stringify(result satisfies TrafficResult));
process.exit(); // what a server does not answer holds nobody up
