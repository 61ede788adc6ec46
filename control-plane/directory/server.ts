import type { Http2SecureServer, Http2Server, ServerHttp2Session } from 'node:http2';
import { createSecureServer, createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';

import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { HandlerContext } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';

import type { Readers } from '../../admin/readers.ts';
import { WeftError } from '../../mesh/errors.ts';
import { Access as AccessService } from '../gen/weft/v1/access_pb.ts';
import type { ConnectRequest, ConnectResponse } from '../gen/weft/v1/directory_pb.ts';
import { Directory as DirectoryService } from '../gen/weft/v1/directory_pb.ts';
import { Identity as IdentityService } from '../gen/weft/v1/identity_pb.ts';
import type { Authenticator, Certificate } from '../identity/certificate-authority.ts';
import type { Directory } from './directory.ts';
import { toConnectError } from './rpc-errors.ts';

export type Certify = (
  request: { readonly token: string; readonly csr: Uint8Array },
  signal: AbortSignal,
) => Promise<Certificate | WeftError>;

export interface ControlServerOptions {
  readonly directory: Directory;
  readonly authenticator: Authenticator;
  readonly certify: Certify;
  /** Of metrics; absent where no API server knows them. */
  readonly readers?: Pick<Readers, 'review'>;
  /** PEM. Absent only on a loopback of one process. */
  readonly tls?: { readonly key: string; readonly cert: string };
  /** Told once for each refusal and each stream that ends in an error. */
  readonly onError?: (error: WeftError) => void;
}

const maximumMessageBytes = 16 * 1024 * 1024;
const maximumTokenLength = 16 * 1024;
const pingMs = 15_000;
const unaryMs = 10_000;

/** The gRPC server of the controller. */
export class ControlServer {
  readonly #options: ControlServerOptions;
  readonly #server: Http2Server | Http2SecureServer;
  readonly #sessions = new Set<ServerHttp2Session>();
  readonly #shutdown = new AbortController();

  constructor(options: ControlServerOptions) {
    this.#options = options;
    const handler = connectNodeAdapter({
      connect: false,
      grpcWeb: false,
      readMaxBytes: maximumMessageBytes,
      acceptCompression: [],
      shutdownSignal: this.#shutdown.signal,
      routes: (router) => {
        router.service(DirectoryService, { connect: (requests, context) => this.#connect(requests, context) });
        router.service(IdentityService, { certify: (request, context) => this.#certify(request, context) });
        router.service(AccessService, { reviewReader: (request, context) => this.#reviewReader(request, context) });
      },
    });
    const { tls } = options;
    this.#server = tls ? createSecureServer({ ...tls, minVersion: 'TLSv1.3' }, handler) : createServer(handler);
    this.#server.on('session', (session: ServerHttp2Session) => {
      this.#watch(session);
    });
  }

  /** For connections from now on. */
  setTls(tls: { readonly key: string; readonly cert: string }): void {
    if ('setSecureContext' in this.#server) this.#server.setSecureContext(tls);
  }

  /** Resolves to the port. */
  async listen(port: number, host?: string): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, host, resolve);
    });
    this.#server.removeAllListeners('error').on('error', (cause: Error) => {
      this.#options.onError?.(new WeftError('WEFT-E303', `the gRPC server failed: ${cause.message}`, { cause }));
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.#shutdown.abort();
    this.#options.directory.close();
    for (const session of this.#sessions) session.destroy();
    await closed;
  }

  /** An agent whose node lost power says nothing: only an unanswered ping tells. */
  #watch(session: ServerHttp2Session): void {
    let isAnswered = true;
    const timer = setInterval(() => {
      if (!isAnswered || session.destroyed) {
        session.destroy();
        return;
      }
      isAnswered = false;
      session.ping((error) => {
        isAnswered = error === null;
      });
    }, pingMs);
    this.#sessions.add(session);
    session.on('error', () => undefined); // 'close' follows
    session.on('close', () => {
      clearInterval(timer);
      this.#sessions.delete(session);
    });
  }

  async *#connect(requests: AsyncIterable<ConnectRequest>, context: HandlerContext): AsyncGenerator<ConnectResponse> {
    try {
      const { node } = await this.#caller(context);
      yield* this.#options.directory.connect(node, requests, context.signal);
    } catch (error) {
      throw this.#refusal(error);
    }
  }

  /** The agent whose token the call carries. @throws WeftError */
  async #caller({ requestHeader, signal }: HandlerContext): Promise<{ readonly node: string }> {
    const token = bearerToken(requestHeader.get('authorization'));
    if (token instanceof WeftError) throw token;
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(unaryMs)]);
    const caller = await this.#options.authenticator.authenticate(token, bounded);
    if (caller instanceof WeftError) throw caller;
    return caller;
  }

  /** What it answers is logged by the agent, as strangers decide how often they ask. */
  async #reviewReader(
    { token }: { readonly token: string },
    context: HandlerContext,
  ): Promise<{ refusal: string; reason: string }> {
    try {
      await this.#caller(context);
    } catch (error) {
      throw this.#refusal(error);
    }
    const { readers } = this.#options;
    const refusal = readers
      ? await readers.review(token)
      : new WeftError('WEFT-E232', 'this controller has no API server to ask');
    return { refusal: refusal?.code ?? '', reason: refusal?.message ?? '' };
  }

  async #certify(
    request: { readonly token: string; readonly csr: Uint8Array },
    context: HandlerContext,
  ): Promise<{ chain: Uint8Array[]; anchors: Uint8Array[]; notAfter: ReturnType<typeof timestampFromDate> }> {
    const { token, csr } = request;
    const signal = AbortSignal.any([context.signal, AbortSignal.timeout(unaryMs)]);
    const certificate = await this.#options.certify({ token, csr }, signal);
    if (certificate instanceof WeftError) throw this.#refusal(certificate);
    const { chain, anchors, notAfter } = certificate;
    return { chain: [...chain], anchors: [...anchors], notAfter: timestampFromDate(notAfter) };
  }

  #refusal(error: unknown): unknown {
    if (!(error instanceof WeftError)) return error;
    this.#options.onError?.(error);
    return toConnectError(error);
  }
}

function bearerToken(header: string | null): string | WeftError {
  const token = /^Bearer +(\S+)$/i.exec(header ?? '')?.[1];
  if (token === undefined) return new WeftError('WEFT-E301', 'the call carries no token');
  if (token.length > maximumTokenLength) return new WeftError('WEFT-E301', 'the token is longer than any token is');
  return token;
}
