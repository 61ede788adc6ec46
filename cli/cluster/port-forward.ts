import type { IncomingMessage } from 'node:http';
import { Duplex } from 'node:stream';

import { WebSocket } from 'ws';

import type { ApiAccess } from '../../control-plane/sources/kubernetes/api-access.ts';
import { ApiFailure, messageIn, textOf } from '../../control-plane/sources/kubernetes/api-client.ts';
import type { KubeObject } from './objects.ts';

const protocol = 'v4.channel.k8s.io';
const channel = { data: 0, error: 1 } as const;
/** Each channel begins with the number of the port. */
const portBytes = 2;
const maximumMessageBytes = 1024 * 1024;
const maximumRefusalBytes = 64 * 1024;

/**
 * A connection to a port of the pod's own loopback, as `kubectl port-forward` makes one: the kubelet dials it. It is for who may `get` and
 * `create` pods/portforward. @throws ApiFailure, or what the network says
 */
export async function forwardPort(
  access: ApiAccess,
  { metadata }: KubeObject,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const { headers, tls } = await access.credentials();
  signal.throwIfAborted();
  const path = `/api/v1/namespaces/${metadata.namespace ?? ''}/pods/${metadata.name}/portforward?ports=${port}`;
  const url = new URL(access.url.pathname.replace(/\/$/, '') + path, access.url);
  url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const socket = new WebSocket(url, protocol, {
    ...tls,
    headers,
    perMessageDeflate: false,
    maxPayload: maximumMessageBytes,
  });
  const abort = (): void => {
    reject(signal.reason as Error);
    socket.terminate();
  };
  signal.addEventListener('abort', abort, { once: true });
  socket.on('error', reject);
  socket.on('unexpected-response', (_, answer) => {
    const { socket: connection } = answer; // which nobody ends, as it could be used again
    refusalOf(answer)
      .then(reject, reject)
      .finally(() => connection.destroy());
  });
  socket.on('open', () => resolve(new ForwardedPort(socket)));
  try {
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

/** The bytes of one port. The other side is not told where ours end. */
class ForwardedPort extends Duplex {
  readonly #socket: WebSocket;
  readonly #begun = new Set<number>();

  constructor(socket: WebSocket) {
    super();
    this.#socket = socket;
    this.on('error', () => undefined); // it may come before anybody listens, who then finds it in `errored`
    socket.on('message', (message: Buffer) => {
      this.#take(message);
    });
    socket.on('error', (error) => this.destroy(error));
    socket.on('close', () => this.push(null));
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.send(Buffer.concat([Buffer.of(channel.data), chunk]), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.terminate();
    done(error);
  }

  #take(message: Buffer): void {
    const [from] = message;
    if (from === undefined) return;
    const bytes = message.subarray(1 + (this.#begun.has(from) ? 0 : portBytes));
    this.#begun.add(from);
    if (bytes.length === 0) return;
    if (from === channel.error) this.destroy(new Error(bytes.toString().trim()));
    else if (from === channel.data && !this.push(bytes)) this.#socket.pause();
  }
}

async function refusalOf(answer: IncomingMessage): Promise<ApiFailure> {
  return new ApiFailure(answer.statusCode ?? 0, messageIn(await textOf(answer, maximumRefusalBytes)));
}
