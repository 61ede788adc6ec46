import { formatAddress } from '../../../mesh/address.ts';
import { addressKey } from '../../../mesh/service.ts';
import type { Engine } from '../../../native/engine.d.ts';
import { actions } from '../connection-record.ts';
import type { Endpoint, Key } from '../destinations.ts';
import type { FusedPath } from '../fused-paths.ts';
import type { Direction, WorkerOptions } from '../messages.ts';
import { decideOutbound } from '../outbound.ts';
import type { WorkerPod } from '../pods.ts';
import { Waiting } from '../waiting.ts';
import type { Missing, Ways } from '../ways.ts';
import { resolveTimeoutMs } from '../ways.ts';
import type { Failure } from './failures.ts';
import { failFast, failureOf, forbiddenByNetwork, tooManyWait } from './failures.ts';
import { MeshHeaders } from './mesh-headers.ts';
import type { HttpMetrics, RequestFacts } from './metrics-sink.ts';
import type { HttpConnection } from './request-context.ts';
import { RequestContext, RequestContexts } from './request-context.ts';
import type { RequestPlan, RequestPolicy } from './request-policies.ts';
import { ShownRequest, requestPolicies } from './request-policies.ts';
import type { ExchangeEdits, RequestDeadlines, RequestRecord } from './request-record.ts';
import { versions } from './request-record.ts';
import { FailureResponses } from './responses.ts';
import type { Upstream } from './upstreams.ts';
import { Upstreams } from './upstreams.ts';

export interface HttpPolicyDependencies {
  readonly options: Pick<
    WorkerOptions,
    'outboundConnectTimeoutMs' | 'peerConnectTimeoutMs' | 'inboundConnectTimeoutMs' | 'idleTimeoutMs'
  >;
  readonly engine: Engine;
  /** Of requests that have failed, or were held. */
  readonly record: RequestRecord;
  readonly ways: Ways;
  readonly metrics: HttpMetrics;
  /** Others than those of request-policies.ts, for tests. */
  readonly policies?: readonly RequestPolicy[];
}

interface WaitingRequest extends RequestFacts {
  /** Of its exchange. */
  readonly id: number;
  readonly context: RequestContext;
  readonly plan: RequestPlan;
  readonly version: number;
}

/** Decides on every request: reads it from its record, writes the decision there. What main has not told yet is waited for. */
export class HttpPolicy {
  readonly #with: HttpPolicyDependencies;
  readonly #contexts = new RequestContexts();
  readonly #upstreams = new Upstreams();
  readonly #waiting = new Waiting<WaitingRequest>();
  readonly #headers: MeshHeaders;
  readonly #failures: FailureResponses;
  readonly #policies: readonly RequestPolicy[];
  readonly #deadlines: RequestDeadlines;
  /** Of the request that is decided on at the moment. */
  readonly #plan: RequestPlan;
  #request: ShownRequest | undefined;
  /** Where its decision is written. */
  #record: RequestRecord;
  /** Where the request that was decided on last goes. */
  #chosen: Upstream | undefined;

  constructor(dependencies: HttpPolicyDependencies) {
    this.#with = dependencies;
    const { engine, options, policies } = dependencies;
    this.#record = dependencies.record;
    this.#headers = new MeshHeaders(engine);
    this.#failures = new FailureResponses(engine);
    this.#policies = policies ?? requestPolicies;
    this.#deadlines = { responseTimeoutMs: 0, requestTimeoutMs: 0, idleTimeoutMs: options.idleTimeoutMs };
    this.#plan = { deadlines: this.#deadlines, upstreamProtocol: undefined };
  }

  /** @returns the number under which the engine shows requests of this connection */
  connectionOpened(connection: HttpConnection, direction: Direction, pod: WorkerPod): number {
    return this.#contexts.add(new RequestContext(connection, direction, pod));
  }

  /** Any connection of the engine; its requests have ended. */
  connectionEnded(id: number): void {
    const named = this.#contexts.remove(id)?.named;
    if (named !== undefined) this.#headers.release(named);
  }

  /** @param index of the request among those that the engine shows at the moment */
  decide(record: RequestRecord, index: number): void {
    const { metrics } = this.#with;
    this.#record = record;
    const context = this.#contexts.get(record.httpContext);
    if (context === undefined) {
      record.reset();
      return;
    }
    metrics.requested(context, record);
    const plan = this.#plan;
    plan.deadlines = this.#deadlines;
    plan.upstreamProtocol = undefined;
    const request = this.#show(record, index, context);
    for (const policy of this.#policies) {
      const answer = policy(request, plan);
      if (answer === undefined) continue;
      record.respond(answer.number);
      return;
    }
    const missing = this.#forward(context, plan, record);
    if (missing !== undefined) this.#hold(context, plan, missing);
  }

  /** The request in the record has no response. */
  failed(): void {
    const { record } = this.#with;
    this.#record = record;
    const context = this.#contexts.get(record.httpContext);
    this.#waiting.forget(record.exchange);
    if (context === undefined) record.reset();
    else this.#fail(context, failureOf(record.ending, record.detail), this.#upstreams.get(record.upstreamContext));
  }

  /** The exchange in this record has ended. */
  ended(record: RequestRecord): void {
    const { metrics } = this.#with;
    this.#waiting.forget(record.exchange);
    const upstream = this.#upstreams.get(record.upstreamContext);
    const context = this.#contexts.get(record.httpContext);
    const wasReadable = record.version !== 0;
    if (context !== undefined && wasReadable) metrics.responded(context, record, upstream);
    if (upstream !== undefined) this.#upstreams.closed(upstream);
  }

  /** Requests that wait for this can be decided on. */
  settled(key: Key): void {
    const { engine } = this.#with;
    this.#record = this.#with.record;
    for (const request of this.#waiting.take(key)) {
      const missing = this.#forward(request.context, request.plan, request);
      if (missing !== undefined) {
        // The same answer would come again at once, and for ever; what changes comes unasked.
        if (this.#waiting.add(request, missing.key) === 'first' && missing.key !== key) missing.ask?.();
      } else if (!engine.resumeRequest(request.id)) {
        if (this.#chosen !== undefined) this.#upstreams.closed(this.#chosen);
      }
    }
  }

  /** The network does not let requests pass there any more. */
  blocked(path: FusedPath): void {
    for (const number of this.#upstreams.numbersOf(path)) this.#with.engine.revokeRequests(number);
  }

  #show(record: RequestRecord, index: number, context: RequestContext): ShownRequest {
    this.#request ??= new ShownRequest(record, this.#with.engine, context);
    this.#request.show(record, index, context);
    return this.#request;
  }

  #hold(context: RequestContext, plan: RequestPlan, missing: Missing): void {
    const record = this.#record;
    const { exchange: id, authority, isGrpc, version } = record;
    const place = this.#waiting.add({ id, context, plan: { ...plan }, authority, isGrpc, version }, missing.key);
    if (place === undefined) {
      this.#fail(context, tooManyWait);
      return;
    }
    if (place === 'first') missing.ask?.();
    record.hold(resolveTimeoutMs);
  }

  /** Writes into the record where the request goes, or tells what is missing. */
  #forward(context: RequestContext, plan: RequestPlan, facts: WaitingRequest | RequestRecord): Missing | undefined {
    this.#chosen = undefined;
    const missing = this.#findWay(context, plan);
    const record = this.#record;
    const { metrics } = this.#with;
    if (missing === undefined && record.isForwarded) {
      const protocol = plan.upstreamProtocol ?? this.#protocolTo(context, facts);
      if (protocol !== undefined) record.speak(protocol);
      metrics.forwarded(context, facts, this.#chosen);
    }
    return missing;
  }

  /** Who is declared to speak HTTP/1 hears nothing else, save gRPC, which cannot be said in it. Undefined: as the client speaks. */
  #protocolTo(
    { direction, destination: place }: RequestContext,
    { version, isGrpc }: WaitingRequest | RequestRecord,
  ): 'http1' | undefined {
    if (direction === 'inbound' || version !== versions.http2 || isGrpc) return undefined;
    const destination = this.#with.ways.destinations.find(place);
    const isDeclared = destination !== undefined && destination.kind !== 'unknown' && destination.protocol === 'http1';
    return isDeclared ? 'http1' : undefined;
  }

  #findWay(context: RequestContext, plan: RequestPlan): Missing | undefined {
    const record = this.#record;
    const { options, ways } = this.#with;
    const { address, port } = context;
    if (context.direction === 'inbound') {
      record.forward(actions.relayToApp, address, port, this.#editsToApp(context));
      record.limit(options.inboundConnectTimeoutMs, plan.deadlines);
      return undefined;
    }
    const decision = decideOutbound(ways.destinations.find(context.destination), context.clientAddress);
    switch (decision) {
      case 'wait':
        return ways.missing(address, port);
      case 'refuse':
        this.#fail(context, failFast);
        return undefined;
      case 'direct':
        record.forward(actions.relayOut, address, port, this.#headers.anonymous);
        record.limit(options.outboundConnectTimeoutMs, plan.deadlines);
        return undefined;
    }
    return this.#send(decision, context, plan);
  }

  #send(endpoint: Endpoint, context: RequestContext, plan: RequestPlan): Missing | undefined {
    const record = this.#record;
    const { options, ways } = this.#with;
    const { pod } = context;
    const way = ways.find(endpoint, pod);
    switch (way.kind) {
      case 'missing':
        return way.missing;
      case 'forbidden':
        this.#fail(context, forbiddenByNetwork);
        return undefined;
      case 'out':
        record.forward(actions.relayOut, endpoint.address, endpoint.port, this.#headers.anonymous);
        this.#choose(this.#upstreams.find(endpoint, 'plaintextToOutside'), options.outboundConnectTimeoutMs, plan);
        return undefined;
      case 'tunnel':
        record.forwardByTunnel(endpoint, pod.identity, this.#headers.anonymous);
        this.#choose(this.#upstreams.find(endpoint, 'mutualTls'), options.peerConnectTimeoutMs, plan);
        return undefined;
      case 'app':
        record.forwardToPod(endpoint, this.#editsToApp(context));
        this.#choose(this.#upstreams.find(endpoint, 'sameNode'), options.inboundConnectTimeoutMs, plan);
        return undefined;
      case 'fused':
        record.forwardToPod(endpoint, this.#editsToApp(context));
        this.#choose(this.#upstreams.findFused(way.path, endpoint), options.inboundConnectTimeoutMs, plan);
        return undefined;
    }
  }

  #choose(upstream: Upstream, connectTimeoutMs: number, { deadlines }: RequestPlan): void {
    this.#chosen = upstream;
    this.#record.limit(connectTimeoutMs, deadlines);
    this.#record.tag(this.#upstreams.opened(upstream));
  }

  #editsToApp(context: RequestContext): ExchangeEdits {
    if (context.named === undefined && context.client !== 0) context.named = this.#headers.acquire(context.client);
    return context.named ?? this.#headers.anonymous;
  }

  #fail(context: RequestContext, failure: Failure, upstream?: Upstream): void {
    // Who is none of the mesh is not told what goes on in it.
    const isTold = context.direction === 'outbound' || context.peer !== 0;
    const where = isTold ? placeOf(context, upstream) : undefined;
    this.#record.respond(this.#failures.get(failure, where).number);
  }
}

/** As Linkerd names it. */
function placeOf({ direction, address, port }: RequestContext, upstream: Upstream | undefined): string {
  const dialled = addressKey(formatAddress(address), port);
  if (direction === 'inbound') return `server: ${dialled}`;
  if (upstream === undefined) return `logical service ${dialled}`;
  const { endpoint } = upstream;
  return `logical service ${dialled}: endpoint ${addressKey(formatAddress(endpoint.address), endpoint.port)}`;
}
