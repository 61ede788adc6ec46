import { formatAddress } from '../../../mesh/address.ts';
import type { RequestEnding } from '../../../native/engine.d.ts';
import { actions } from '../connection-record.ts';
import type { TestConnection } from '../test-connection.ts';
import type { TestPolicy } from '../test-policy.ts';
import type { Method } from './request-record.ts';
import { methods, noGrpcStatus, requestActions, requestEndings, requestFlags } from './request-record.ts';

export interface TestRequest {
  readonly exchange?: number;
  /** Number that the decision on its connection gave. */
  readonly context: number;
  /** 0: it could not be read. */
  readonly version?: number;
  readonly method?: Method;
  readonly grpc?: boolean;
  readonly upstreamContext?: number;
}

export interface TestEnding {
  readonly ending: RequestEnding;
  readonly detail?: number;
  readonly status?: number;
  readonly grpcStatus?: number;
}

/** Writes what the engine writes when a request has come: all but the identity is cleared. */
export function writeRequest(buffer: ArrayBuffer, request: TestRequest): void {
  const { exchange = 1, context, version = 11, method = 'GET', grpc = false, upstreamContext = 0 } = request;
  const words = new Uint32Array(buffer, 0, 50);
  words.fill(0);
  const flags = grpc ? requestFlags.grpc : 0;
  words.set([exchange, 1, 1, context, version, methods.indexOf(method), flags, 0, 0, upstreamContext, 0]);
}

/** Writes what the engine adds where something has ended. */
export function writeEnding(buffer: ArrayBuffer, ending: TestEnding): void {
  const { detail = 0, status = 0, grpcStatus = noGrpcStatus } = ending;
  new Uint32Array(buffer).set([requestEndings.indexOf(ending.ending), detail, status, grpcStatus], 36);
}

/** A decision as the engine reads it: what its action does not use is left out. */
export type TestRequestDecision =
  | { action: 'reset' | 'hold' }
  | { action: 'respond'; status: number; grpcStatus: number | undefined; headers: Readonly<Record<string, string>> }
  | {
      action: 'forward';
      via: 'relayToApp' | 'relayOut' | 'tunnel';
      to: string;
      appPod: number;
      /** Whom the app is told as its client; undefined: nobody. */
      client: string | undefined;
      connectTimeoutMs: number;
    };

/** What stands in the record of a node's requests. */
export function readDecision(node: TestPolicy): TestRequestDecision {
  const { engine, requestRecord } = node;
  const word = (offset: number): number => new DataView(requestRecord.buffer).getUint32(offset, true);
  switch (word(48)) {
    case requestActions.hold:
      return { action: 'hold' };
    case requestActions.respond: {
      const response = engine.responses.get(word(120));
      if (response === undefined) throw new Error(`response ${word(120)} is not defined`);
      return {
        action: 'respond',
        status: response.status,
        grpcStatus: response.grpcStatus,
        headers: response.headers,
      };
    }
    case requestActions.forward:
      return {
        action: 'forward',
        via: viaOf(word(52)),
        to: `${formatAddress(requestRecord.destinationAddress)} ${word(56)}`,
        appPod: word(60),
        client: engine.headerEdits.get(word(112))?.set?.['l5d-client-id'],
        connectTimeoutMs: word(96),
      };
    default:
      return { action: 'reset' };
  }
}

function viaOf(action: number): 'relayToApp' | 'relayOut' | 'tunnel' {
  for (const via of ['relayToApp', 'relayOut', 'tunnel'] as const) if (actions[via] === action) return via;
  throw new Error(`a request cannot go by action ${action}`);
}

/** A connection of a node that carries HTTP. */
export class TestHttpConnection {
  readonly #node: TestPolicy;
  readonly #connection: TestConnection;
  readonly context: number;
  /** What the engine was told of each exchange. */
  readonly #upstreams = new Map<number, number>();

  constructor(node: TestPolicy, connection: TestConnection) {
    this.#node = node;
    this.#connection = connection;
    const decision = node.connect(connection);
    if (decision.action !== 'http') throw new Error(`the connection is not HTTP: ${decision.action}`);
    this.context = new DataView(node.record.buffer).getUint32(152, true);
  }

  request(request: Partial<TestRequest> = {}): TestRequestDecision {
    const { engine, requestRecord } = this.#node;
    writeRequest(requestRecord.buffer, { context: this.context, ...request });
    engine.options.onRequests(1);
    return this.#decided(request.exchange ?? 1);
  }

  /** Nothing has been answered yet. */
  fail(ending: TestEnding, request: Partial<TestRequest> = {}): TestRequestDecision {
    this.#show(request, ending);
    this.#node.engine.options.onFailure();
    return this.#decided(request.exchange ?? 1);
  }

  end(ending: TestEnding, request: Partial<TestRequest> = {}): void {
    this.#show(request, ending);
    this.#node.engine.options.onResponses(1);
    this.#upstreams.delete(request.exchange ?? 1);
  }

  /** What stands in the record after one was resumed. */
  resumed(exchange = 1): TestRequestDecision {
    return this.#decided(exchange);
  }

  upstreamOf(exchange = 1): number {
    return this.#upstreams.get(exchange) ?? 0;
  }

  close(): void {
    this.#node.end(this.#connection, { reason: 'finished' });
  }

  #show(request: Partial<TestRequest>, ending: TestEnding): void {
    const upstreamContext = this.upstreamOf(request.exchange);
    writeRequest(this.#node.requestRecord.buffer, { context: this.context, upstreamContext, ...request });
    writeEnding(this.#node.requestRecord.buffer, ending);
  }

  #decided(exchange: number): TestRequestDecision {
    const decision = readDecision(this.#node);
    const upstream = new DataView(this.#node.requestRecord.buffer).getUint32(128, true);
    if (decision.action === 'forward') this.#upstreams.set(exchange, upstream);
    return decision;
  }
}
