import type { Address } from '../../../mesh/address.ts';
import { copyAddress } from '../../../mesh/address.ts';
import type { RequestEnding } from '../../../native/engine.d.ts';
import type { LocalEndpoint, TunnelEndpoint } from '../connection-record.ts';
import { actions } from '../connection-record.ts';

export const requestRecordBytes = 200;

export const requestActions = { reset: 0, forward: 1, respond: 2, hold: 3 } as const;

/** By the numbers that the engine has for them; '' is any other. */
export const methods = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'] as const;
export type Method = (typeof methods)[number];

/** As the engine numbers them; 0 is that of a request that cannot be read. */
export const versions = { http10: 10, http11: 11, http2: 20 } as const;

export const requestFlags = { upgrade: 1, expectsContinue: 2, hasBody: 4, grpc: 8, webSocket: 16 } as const;
export const outcomeFlags = { synthetic: 1, hasTrailers: 2, upgraded: 4 } as const;
export const noGrpcStatus = 0xffffffff;

/** In the order of Ending in native/core/http/request_record.h. */
export const requestEndings: readonly RequestEnding[] = [
  'complete',
  'synthetic',
  'reset',
  'client-reset',
  'upstream-reset',
  'connect-failed',
  'connect-timeout',
  'tls-failed',
  'hold-timeout',
  'response-timeout',
  'request-timeout',
  'idle-timeout',
  'invalid-request',
  'invalid-response',
  'refused-by-limit',
  'revoked',
  'shutdown',
  'error',
];

/** 0: none. */
export interface RequestDeadlines {
  /** Until the head of the response. */
  readonly responseTimeoutMs: number;
  /** Of the whole exchange. */
  readonly requestTimeoutMs: number;
  /** While no byte moves. */
  readonly idleTimeoutMs: number;
}

export type UpstreamProtocol = 'http1' | 'http2';

/** How a request and its response are changed: numbers that the engine gave, 0 for none. */
export interface ExchangeEdits {
  readonly requestEdits: number;
  readonly responseEdits: number;
}

/** Where a decision is written: word of the buffer. */
const words = {
  action: 12,
  via: 13,
  destinationPort: 14,
  appPod: 15,
  credentials: 20,
  expectedName: 21,
  workload: 22,
  upstreamProtocol: 23,
  connectTimeoutMs: 24,
  responseTimeoutMs: 25,
  requestTimeoutMs: 26,
  idleTimeoutMs: 27,
  requestEdits: 28,
  responseEdits: 29,
  response: 30,
  newUpstreamContext: 32,
} as const;

/**
 * A request that the engine shows at the moment: a view over a buffer that native/engine.d.ts lays out. Values must be read
 * before the callback returns; the engine clears a decision before it asks for the next.
 */
export class RequestRecord {
  readonly buffer: ArrayBuffer;
  readonly destinationAddress: Uint8Array;
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;

  /** @param at where it begins in the buffer */
  constructor(buffer = new ArrayBuffer(requestRecordBytes), at = 0) {
    this.buffer = buffer;
    this.destinationAddress = new Uint8Array(buffer, at + 64, 16);
    this.#words = new Uint32Array(buffer, at, requestRecordBytes / 4);
    this.#floats = new Float64Array(buffer, at, requestRecordBytes / 8);
  }

  get exchange(): number {
    return this.#words[0] ?? 0;
  }
  /** The client's. */
  get connection(): number {
    return this.#words[1] ?? 0;
  }
  get pod(): number {
    return this.#words[2] ?? 0;
  }
  get httpContext(): number {
    return this.#words[3] ?? 0;
  }
  /** Of versions. */
  get version(): number {
    return this.#words[4] ?? 0;
  }
  /** Of a method that is not among them the engine knows the name. */
  get method(): Method {
    return methods[this.#words[5] ?? 0] ?? '';
  }
  /** Of requestFlags. */
  get flags(): number {
    return this.#words[6] ?? 0;
  }
  get isGrpc(): boolean {
    return (this.flags & requestFlags.grpc) !== 0;
  }
  /** Number of its name; 0: it has none, or too many are known. */
  get authority(): number {
    return this.#words[7] ?? 0;
  }
  get peerName(): number {
    return this.#words[8] ?? 0;
  }
  /** Of the last decision to forward; 0 before there is one. */
  get upstreamContext(): number {
    return this.#words[9] ?? 0;
  }
  /** How often it has been forwarded. */
  get attempt(): number {
    return this.#words[10] ?? 0;
  }

  /** By the decision that stands there. */
  get isForwarded(): boolean {
    return this.#words[words.action] === requestActions.forward;
  }

  reset(): void {
    this.#words[words.action] = requestActions.reset;
  }

  /** @param response a number that the engine gave to a response */
  respond(response: number): void {
    this.#words[words.action] = requestActions.respond;
    this.#words[words.response] = response;
  }

  hold(timeoutMs: number): void {
    this.#words[words.action] = requestActions.hold;
    this.#words[words.connectTimeoutMs] = timeoutMs;
  }

  /** @param via relayToApp: to the app of the pod that was dialled; relayOut: from the client's pod */
  forward(
    via: typeof actions.relayToApp | typeof actions.relayOut,
    address: Address,
    port: number,
    edits: ExchangeEdits,
  ): void {
    this.#forward(via, address, port, edits);
  }

  /** To the app of another pod of this node. */
  forwardToPod(endpoint: LocalEndpoint, edits: ExchangeEdits): void {
    this.#forward(actions.relayToApp, endpoint.address, endpoint.port, edits);
    this.#words[words.appPod] = endpoint.localPod;
    this.#words[words.expectedName] = endpoint.identity;
  }

  forwardByTunnel(endpoint: TunnelEndpoint, credentials: number, edits: ExchangeEdits): void {
    this.#forward(actions.tunnel, endpoint.address, endpoint.port, edits);
    this.#words[words.credentials] = credentials;
    this.#words[words.expectedName] = endpoint.identity;
    this.#words[words.workload] = endpoint.workload;
  }

  /** Belongs to every decision to forward. */
  limit(connectTimeoutMs: number, deadlines: RequestDeadlines): void {
    this.#words[words.connectTimeoutMs] = connectTimeoutMs;
    this.#words[words.responseTimeoutMs] = deadlines.responseTimeoutMs;
    this.#words[words.requestTimeoutMs] = deadlines.requestTimeoutMs;
    this.#words[words.idleTimeoutMs] = deadlines.idleTimeoutMs;
  }

  /** Of a decision to forward; without it the upstream hears the client's version. */
  speak(protocol: UpstreamProtocol): void {
    this.#words[words.upstreamProtocol] = protocol === 'http1' ? versions.http11 : versions.http2;
  }

  /** Given back in every later call on this exchange; of a decision to forward. */
  tag(upstreamContext: number): void {
    this.#words[words.newUpstreamContext] = upstreamContext;
  }

  get ending(): RequestEnding {
    return requestEndings[this.#words[36] ?? -1] ?? 'error';
  }
  /** Of the ending: see RequestRecordLayout. */
  get detail(): number {
    return this.#words[37] ?? 0;
  }
  /** 0: no head of a response has come. */
  get status(): number {
    return this.#words[38] ?? 0;
  }
  /** noGrpcStatus where it has none. */
  get grpcStatus(): number {
    return this.#words[39] ?? noGrpcStatus;
  }
  /** Of outcomeFlags. */
  get outcomeFlags(): number {
    return this.#words[40] ?? 0;
  }
  get isSynthetic(): boolean {
    return (this.outcomeFlags & outcomeFlags.synthetic) !== 0;
  }
  get requestBytes(): number {
    return this.#floats[21] ?? 0;
  }
  get responseBytes(): number {
    return this.#floats[22] ?? 0;
  }
  get timeToHeadMs(): number {
    return this.#floats[23] ?? 0;
  }
  get durationMs(): number {
    return this.#floats[24] ?? 0;
  }

  /** Decisions on requests that waited are written one after the other: nothing of the one before may be left. */
  #forward(via: number, address: Address, port: number, { requestEdits, responseEdits }: ExchangeEdits): void {
    this.#words[words.action] = requestActions.forward;
    this.#words[words.via] = via;
    this.#words[words.destinationPort] = port;
    copyAddress(address, this.destinationAddress);
    this.#words[words.upstreamProtocol] = 0;
    this.#words[words.requestEdits] = requestEdits;
    this.#words[words.responseEdits] = responseEdits;
    this.#words[words.appPod] = 0;
    this.#words[words.credentials] = 0;
    this.#words[words.expectedName] = 0;
    this.#words[words.workload] = 0;
    this.#words[words.newUpstreamContext] = 0;
  }
}
