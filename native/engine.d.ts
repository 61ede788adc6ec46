/**
 * The data plane's engine (native/core behind native/binding): it moves bytes and asks for every decision.
 * All callbacks run on the thread that made the engine, inside one turn of its loop.
 */

/** How the engine shows one connection, in a buffer that is overwritten for each call. Byte offsets; u32 unless said. */
export interface ConnectionRecordLayout {
  /** No other one has it that is open; never 0. Ids begin anew after 2^32. */
  readonly id: 0;
  readonly pod: 4;
  /** 4 or 6: of the connection's addresses. */
  readonly family: 8;
  /** What the client dialled: getsockname() of the accepted socket, or what a tunnel's peer says that its client dialled. */
  readonly localPort: 12;
  readonly remotePort: 16;
  /** 0 captured, 1 a stream of a peer's tunnel, 2 mutual TLS of a peer that is no agent */
  readonly origin: 20;
  /**
   * 0 not looked yet, 1 plaintext that is nothing else, 2 no bytes in time, 3 a ClientHello for serverName, 4 a ClientHello that cannot
   * be ours, 5 HTTP/1, 6 HTTP/2
   */
  readonly detected: 24;
  /** Of the ClientHello: the number that intern() gave to that name, or 0. */
  readonly serverName: 28;
  /** 16 bytes, network order, IPv4 as ::ffff:a.b.c.d */
  readonly localAddress: 32;
  readonly remoteAddress: 48;
  /** Of the TCP connection that a stream came by; else as remoteAddress. */
  readonly peerAddress: 64;
  /** Whom the peer has proven to be, or has to (expectedName): the number of its name; 0: nobody. */
  readonly peerName: 80;
  /** Of a stream: id of the connection that became its tunnel. */
  readonly tunnel: 84;
  /** Of a stream: 1 where it asks for another place than its tunnel was dialled to; the engine refuses it, whatever is decided. */
  readonly astray: 88;
  /** Of a stream: what its peer says that it carries, as detected: 0 nothing, 1 bytes that nobody looks at, 5 HTTP/1, 6 HTTP/2 */
  readonly claimed: 92;
  /**
   * Written by onConnection: 0 refuse (RST), 1 relay to the app with the client's address restored, 2 relay out of the pod, 3 look at
   * the first bytes and ask again, 4 hold until resume(), 5 end the mesh's TLS that was detected, 6 out over a shared connection of
   * mutual TLS, 7 end HTTP and ask for every request
   */
  readonly action: 96;
  /** Also how long a connection is held. */
  readonly connectTimeoutMs: 100;
  /** 0: none. Counts while no byte moves in either direction; action 7: while no request is under way. */
  readonly idleTimeoutMs: 104;
  readonly destinationPort: 108;
  /** 16 bytes */
  readonly destinationAddress: 112;
  /** Action 1: where the app is, 0: in the pod that was dialled. */
  readonly appPod: 128;
  /** Actions 5 and 6: number of the credentials that we show. */
  readonly credentials: 132;
  /** Action 6: whom the peer has to prove to be, by number. Action 1 in another pod: who that is. */
  readonly expectedName: 136;
  /** Action 6: no other workload's tunnel is used, whatever its address. */
  readonly workload: 140;
  /** Action 3 */
  readonly detectTimeoutMs: 144;
  /** Action 0 after a ClientHello: the number of a TLS alert to answer with, or 0. */
  readonly alert: 148;
  /** Action 7: given back with every request. */
  readonly httpContext: 152;
  /** Shown by onCloses: index into CloseReason. */
  readonly reason: 160;
  /** Of a system call; where the reason is 'tls-failed', index into TlsFailure. */
  readonly errno: 164;
  /** f64 each */
  readonly bytesToUpstream: 168;
  readonly bytesToClient: 176;
  readonly durationMs: 184;
}

/**
 * Both sides closed; a side sent RST; connect failed or took too long; nothing moved for idleTimeoutMs; refused; engine closed;
 * revoke().
 */
export type CloseReason =
  | 'finished'
  | 'reset-by-client'
  | 'reset-by-upstream'
  | 'connect-failed'
  | 'connect-timeout'
  | 'idle-timeout'
  | 'refused'
  | 'shutdown'
  | 'error'
  | 'tls-failed'
  | 'tunnel'
  | 'revoked';

/**
 * How the engine shows one request and its response (an exchange), in a second shared buffer that is overwritten for each call. Byte
 * offsets; u32 unless said.
 */
export interface RequestRecordLayout {
  readonly exchange: 0;
  /** The client's. */
  readonly connection: 4;
  readonly pod: 8;
  /** Of the decision on that connection. */
  readonly httpContext: 12;
  /** 10, 11, 20; 0 of a request that cannot be read */
  readonly version: 16;
  /** 0 another one, 1 GET, 2 HEAD, 3 POST, 4 PUT, 5 DELETE, 6 CONNECT, 7 OPTIONS, 8 TRACE, 9 PATCH */
  readonly method: 20;
  /** Bits: 1 upgrade or CONNECT, 2 expects 100, 4 has a body, 8 gRPC, 16 WebSocket */
  readonly flags: 24;
  /** Number of its lower-case name; 0: it has none, or too many are known. */
  readonly authority: 28;
  /** As of the connection. */
  readonly peerName: 32;
  /** Of the last decision to forward; 0 before there is one. */
  readonly upstreamContext: 36;
  /** How often it has been forwarded. */
  readonly attempt: 40;
  /** Written by onRequests and onFailure, and before resumeRequest(): 0 reset, 1 forward, 2 respond, 3 hold until resumeRequest() */
  readonly action: 48;
  /** Action 1: an action of ConnectionRecordLayout, 1, 2 or 6. The next words are as they are there. */
  readonly via: 52;
  readonly destinationPort: 56;
  readonly appPod: 60;
  /** 16 bytes */
  readonly destinationAddress: 64;
  readonly credentials: 80;
  readonly expectedName: 84;
  readonly workload: 88;
  /** 0 the client's, 11, 20. What asks in HTTP/1.1 to leave HTTP stays in it. */
  readonly upstreamProtocol: 92;
  /** Action 3: how long it is held. */
  readonly connectTimeoutMs: 96;
  /** Until the head of the response. 0: none; so the next two. */
  readonly responseTimeoutMs: 100;
  /** Of the whole exchange. Of gRPC, `grpc-timeout` counts where it is shorter. */
  readonly requestTimeoutMs: 104;
  /** While no byte moves in either direction. */
  readonly idleTimeoutMs: 108;
  /** Numbers that defineHeaderEdits() gave; 0: none. */
  readonly requestEdits: 112;
  readonly responseEdits: 116;
  /** Action 2: a number that defineResponse() gave. */
  readonly response: 120;
  /** Reserved: 0. */
  readonly retries: 124;
  /** Given back in every later call on this exchange; revokeRequests() takes it. */
  readonly newUpstreamContext: 128;
  /** Shown by onFailure and onResponses: index into RequestEnding. */
  readonly ending: 144;
  /**
   * Of the ending: an errno, index into TlsFailure, or what a message is refused for (native/core/http1/error.h); of HTTP/2, what a side
   * has reset a stream with.
   */
  readonly detail: 148;
  /** 0: no head of a response has come. */
  readonly status: 152;
  /** 0xffffffff: none */
  readonly grpcStatus: 156;
  /** Bits: 1 the response is ours, 2 it has trailers, 4 the exchange left HTTP */
  readonly outcomeFlags: 160;
  /** f64 each; of bodies. */
  readonly requestBytes: 168;
  readonly responseBytes: 176;
  readonly timeToHeadMs: 184;
  readonly durationMs: 192;
}

/** 'synthetic': onRequests answered itself. After onFailure the ending stays what had failed, whatever was answered. */
export type RequestEnding =
  | 'complete'
  | 'synthetic'
  | 'reset'
  | 'client-reset'
  | 'upstream-reset'
  | 'connect-failed'
  | 'connect-timeout'
  | 'tls-failed'
  | 'hold-timeout'
  | 'response-timeout'
  | 'request-timeout'
  | 'idle-timeout'
  | 'invalid-request'
  | 'invalid-response'
  | 'refused-by-limit'
  | 'revoked'
  | 'shutdown'
  | 'error';

/** Names of fields are compared without regard to case. */
export interface HeaderEdits {
  readonly remove?: readonly string[];
  /** Replaces all fields of that name. */
  readonly set?: Readonly<Record<string, string>>;
  readonly add?: Readonly<Record<string, string>>;
}

/** Date and framing are the engine's. */
export interface SyntheticResponse {
  readonly status: number;
  /** "connection: close" among them ends the client's connection behind it. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** What a gRPC request is told instead of the status: with status 200 and without a body. */
  readonly grpcStatus?: number;
  readonly grpcMessage?: string;
}

/** One connection, made only to learn whether it can be. */
export interface ProbeRequest {
  /** It is made from there. */
  readonly pod: number;
  readonly address: Uint8Array;
  readonly port: number;
  /** Number of the credentials that we show. */
  readonly credentials: number;
  /** Whom the peer has to prove to be, by number. */
  readonly expectedName: number;
  readonly timeoutMs: number;
}

/** 'undecided': there was no socket or no port of ours to try with; or the network let it pass, but nobody answered in time. */
export type ProbeResult = 'passed' | 'failed' | 'undecided';

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
  /** At least 192 bytes, laid out as ConnectionRecordLayout. */
  record: ArrayBuffer;
  /** At least 200 bytes, laid out as RequestRecordLayout: for onFailure and resumeRequest(). */
  requestRecord: ArrayBuffer;
  /** For at least one RequestRecordLayout, each behind the other: what onRequests asks about. */
  requests: ArrayBuffer;
  /** For at least one ConnectionRecordLayout: what onCloses tells of. */
  closes: ArrayBuffer;
  /** For at least one RequestRecordLayout: what onResponses tells of. */
  responses: ArrayBuffer;
  onListener(pod: number, port: number, ipv4: Uint8Array, ipv6: Uint8Array): void;
  onListenerGone(pod: number): void;
  /** Asked once per connection, and once more where the answer was to look at the first bytes. */
  onConnection(): void;
  /** Told once of each connection, at the latest when the turn ends in which it has ended. @param count as many are in closes */
  onCloses(count: number): void;
  /** Asked once about each request, with others that have come in the same turn. @param count as many are in requests */
  onRequests(count: number): void;
  /** Asked where something failed before the response's head was sent, and where a request cannot be read. */
  onFailure(): void;
  /**
   * Told once of each request, when it has ended in whatever way: before its connection's end is told, and at the latest when the
   * turn ends. @param count as many are in responses
   */
  onResponses(count: number): void;
  onProbe(probe: number, result: ProbeResult): void;
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
  /** Shared connections, of either end. */
  tunnels: number;
}

/** DER: leaf first; PKCS #8; whom we trust. */
export interface Credentials {
  readonly certificates: readonly Uint8Array[];
  readonly privateKey: Uint8Array;
  readonly trustAnchors: readonly Uint8Array[];
}

export interface Engine {
  statistics(): EngineStatistics;
  /** The number by which records call a name. It stays. */
  intern(name: string): number;
  /**
   * What we show as the identity of this number: for connections from now on; open ones keep what they have.
   * @throws when a certificate or the key cannot be read, or do not belong together
   */
  setCredentials(identity: number, credentials: Credentials): void;
  /** Nobody is shown them any more; open connections keep them. */
  forgetCredentials(identity: number): void;
  /** Of 80 random bytes each. The first one encrypts session tickets, all decrypt. */
  setTicketKeys(keys: readonly Uint8Array[]): void;
  /** @returns the name of a number that intern() or a record gave */
  nameOf(number: number): string;
  /** Whom the ClientHello that was classified last asks for. */
  serverName(): string;
  /** Decides on a connection that was held, by what stands in the record. False: it has ended meanwhile. */
  resume(connection: number): boolean;
  /** Ends these connections with RST, those of them that are open. Not to be called by onConnection and onRequests. */
  revoke(connections: readonly number[]): void;
  /**
   * Inside onRequests of the request with this index, inside onFailure of the one in the record, whatever the index; empty of one that
   * cannot be read.
   */
  requestMethod(request: number): string;
  /** With its query. */
  requestPath(request: number): string;
  /** In lower case. */
  requestAuthority(request: number): string;
  /** Fields of one name are joined by ", "; undefined: it has none. */
  requestHeader(request: number, name: string): string | undefined;
  /** @returns a number for decisions @throws where HTTP does not allow it */
  defineHeaderEdits(edits: HeaderEdits): number;
  /** Exchanges that have it go on with it. */
  releaseHeaderEdits(edits: number): void;
  /** @returns a number for decisions @throws where HTTP does not allow it */
  defineResponse(response: SyntheticResponse): number;
  releaseResponse(response: number): void;
  /** Decides on a request that is held, by what stands in its record. False: it has ended meanwhile. */
  resumeRequest(exchange: number): boolean;
  /** Ends all exchanges that were forwarded with this context. Not to be called by onRequests and onFailure. */
  revokeRequests(upstreamContext: number): void;
  /** Begins mutual TLS as a tunnel does, and ends it. The result comes by onProbe, never before this returns. */
  probe(probe: number, request: ProbeRequest): void;
  /** Of a pod that leaves the mesh: no connection is opened over its tunnels any more, those that are open go on. */
  retireTunnels(pod: number): void;
  /** Stops accepting, also over tunnels, as soon as peers have heard. Open connections go on. */
  stopAccepting(): void;
  /** Resets every connection and releases everything. */
  close(): void;
}
