/**
 * The data plane's engine (native/core behind native/binding): it moves bytes and asks for every decision.
 * All callbacks run on the thread that made the engine, inside one turn of its loop.
 */

/** How the engine shows one connection, in one shared buffer that is overwritten for each call. Byte offsets; u32 unless said. */
export interface ConnectionRecordLayout {
  readonly id: 0;
  readonly pod: 4;
  /** 4 or 6: of the connection's addresses. */
  readonly family: 8;
  /** What the client dialled: getsockname() of the accepted socket. */
  readonly localPort: 12;
  readonly remotePort: 16;
  /** 16 bytes, network order, IPv4 as ::ffff:a.b.c.d */
  readonly localAddress: 32;
  readonly remoteAddress: 48;
  /** Written by onConnection: 0 refuse (RST), 1 relay to the pod's app with the client's address restored, 2 relay out of the pod. */
  readonly action: 64;
  readonly connectTimeoutMs: 68;
  /** 0: none. Counts while no byte moves in either direction. */
  readonly idleTimeoutMs: 72;
  readonly destinationPort: 76;
  /** 16 bytes */
  readonly destinationAddress: 80;
  /** Read by onClose: index into CloseReason. */
  readonly reason: 96;
  readonly errno: 100;
  /** f64 each */
  readonly bytesToUpstream: 104;
  readonly bytesToClient: 112;
  readonly durationMs: 120;
}

/** Both sides closed; a side sent RST; connect failed or took too long; nothing moved for idleTimeoutMs; refused; engine closed. */
export type CloseReason =
  | 'finished'
  | 'reset-by-client'
  | 'reset-by-upstream'
  | 'connect-failed'
  | 'connect-timeout'
  | 'idle-timeout'
  | 'refused'
  | 'shutdown'
  | 'error';

export interface EngineOptions {
  /** Path of the netns broker's socket. */
  brokerPath: string;
  /** This worker's slot. */
  slot: number;
  /** Descriptor of the `clients` map, or -1 where clients are not restored. */
  clientsMap: number;
  /** Pipes that may exist at once and their size in bytes: the bound of what is in flight. */
  pipes: number;
  pipeBytes: number;
  /** At least 128 bytes, laid out as ConnectionRecordLayout. */
  record: ArrayBuffer;
  onListener(pod: number, port: number, ipv4: Uint8Array, ipv6: Uint8Array): void;
  onListenerGone(pod: number): void;
  /** Asked once per connection. */
  onConnection(): void;
  /** Told once per connection. */
  onClose(): void;
  /** The broker asked this worker to finish: no new connections after the grace period. */
  onDrain(graceMs: number): void;
  /** The broker's socket closed; the engine goes on with the sockets it has and reconnects by itself. */
  onBrokerLost(): void;
}

export interface EngineStatistics {
  connections: number;
  accepted: number;
  pipesInUse: number;
  listeners: number;
  socketsHeld: number;
}

export interface Engine {
  statistics(): EngineStatistics;
  /** Stops accepting. Open connections go on. */
  stopAccepting(): void;
  /** Resets every connection and releases everything. */
  close(): void;
}
