import type { Address } from '../../mesh/address.ts';
import { copyAddress } from '../../mesh/address.ts';
import type { CloseReason } from '../../native/engine.d.ts';

export const connectionRecordBytes = 192;

/** How a connection came (ConnectionRecordLayout.origin). */
export const origins = { captured: 0, tunnel: 1, tls: 2 } as const;

export const actions = {
  refuse: 0,
  relayToApp: 1,
  relayOut: 2,
  detect: 3,
  hold: 4,
  acceptTls: 5,
  tunnel: 6,
  http: 7,
} as const;
export type Action = (typeof actions)[keyof typeof actions];

export interface Deadlines {
  readonly connectTimeoutMs: number;
  readonly idleTimeoutMs: number;
}

export interface LocalEndpoint {
  readonly address: Address;
  readonly port: number;
  readonly identity: number;
  /** Id of the enrolled pod. */
  readonly localPod: number;
}

export interface TunnelEndpoint {
  readonly address: Address;
  readonly port: number;
  /** Number of the name that the peer has to prove. */
  readonly identity: number;
  readonly workload: number;
}

/** In the order of CloseReason in native/core/connection_record.h. */
export const closeReasons: readonly CloseReason[] = [
  'finished',
  'reset-by-client',
  'reset-by-upstream',
  'connect-failed',
  'connect-timeout',
  'idle-timeout',
  'refused',
  'shutdown',
  'error',
  'tls-failed',
  'tunnel',
  'revoked',
];

/**
 * A connection that the engine shows at the moment: a view over a buffer that native/engine.d.ts lays out. Values must be read
 * before the callback returns; the addresses are views, not copies. What a decision wrote is gone when the connection is shown again
 * at its end.
 */
export class ConnectionRecord {
  readonly buffer: ArrayBuffer;
  readonly localAddress: Uint8Array;
  readonly remoteAddress: Uint8Array;
  readonly peerAddress: Uint8Array;
  readonly destinationAddress: Uint8Array;
  readonly #words: Uint32Array;
  readonly #floats: Float64Array;

  /** @param at where it begins in the buffer */
  constructor(buffer = new ArrayBuffer(connectionRecordBytes), at = 0) {
    this.buffer = buffer;
    this.localAddress = new Uint8Array(buffer, at + 32, 16);
    this.remoteAddress = new Uint8Array(buffer, at + 48, 16);
    this.peerAddress = new Uint8Array(buffer, at + 64, 16);
    this.destinationAddress = new Uint8Array(buffer, at + 112, 16);
    this.#words = new Uint32Array(buffer, at, connectionRecordBytes / 4);
    this.#floats = new Float64Array(buffer, at, connectionRecordBytes / 8);
  }

  get id(): number {
    return this.#words[0] ?? 0;
  }
  get pod(): number {
    return this.#words[1] ?? 0;
  }
  get localPort(): number {
    return this.#words[3] ?? 0;
  }
  get remotePort(): number {
    return this.#words[4] ?? 0;
  }

  /** In whose name a connection came: see ConnectionRecordLayout. */
  get origin(): number {
    return this.#words[5] ?? 0;
  }
  get detected(): number {
    return this.#words[6] ?? 0;
  }
  get isAstray(): boolean {
    return this.#words[22] !== 0;
  }
  /** Of a stream: what its peer says that it carries (ConnectionRecordLayout.claimed). */
  get claimed(): number {
    return this.#words[23] ?? 0;
  }
  get peerName(): number {
    return this.#words[20] ?? 0;
  }

  /** @param alert after a ClientHello: a TLS alert's number, 0 for RST */
  refuse(alert = 0): void {
    this.#words[24] = actions.refuse;
    this.#words[37] = alert;
  }

  detect(timeoutMs: number): void {
    this.#words[24] = actions.detect;
    this.#words[36] = timeoutMs;
  }

  hold(timeoutMs: number): void {
    this.#words[24] = actions.hold;
    this.#words[25] = timeoutMs;
  }

  acceptTls(credentials: number): void {
    this.#words[24] = actions.acceptTls;
    this.#words[33] = credentials;
  }

  relay(action: Action, address: Address, port: number, deadlines: Deadlines): void {
    this.#words[24] = action;
    this.#words[25] = deadlines.connectTimeoutMs;
    this.#words[26] = deadlines.idleTimeoutMs;
    this.#words[27] = port;
    copyAddress(address, this.destinationAddress);
    this.#words[32] = 0;
    this.#words[34] = 0;
  }

  /** To the app of another pod of this node. */
  relayToPod(endpoint: LocalEndpoint, deadlines: Deadlines): void {
    this.relay(actions.relayToApp, endpoint.address, endpoint.port, deadlines);
    this.#words[32] = endpoint.localPod;
    this.#words[34] = endpoint.identity;
  }

  tunnel(endpoint: TunnelEndpoint, credentials: number, deadlines: Deadlines): void {
    this.relay(actions.tunnel, endpoint.address, endpoint.port, deadlines);
    this.#words[33] = credentials;
    this.#words[34] = endpoint.identity;
    this.#words[35] = endpoint.workload;
  }

  /** @param context given back with every request */
  http(context: number, idleTimeoutMs: number): void {
    this.#words[24] = actions.http;
    this.#words[26] = idleTimeoutMs;
    this.#words[38] = context;
  }

  get reason(): CloseReason {
    return closeReasons[this.#words[40] ?? -1] ?? 'error';
  }
  /** 0 where no system call failed. */
  get errno(): number {
    return this.#words[41] ?? 0;
  }
  get bytesToUpstream(): number {
    return this.#floats[21] ?? 0;
  }
  get bytesToClient(): number {
    return this.#floats[22] ?? 0;
  }
  get durationMs(): number {
    return this.#floats[23] ?? 0;
  }
}
