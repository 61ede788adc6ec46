import type { Engine } from '../../../native/engine.d.ts';
import type { DefinedResponse } from './responses.ts';
import type { RequestContext } from './request-context.ts';
import type { Method, RequestDeadlines, RequestRecord, UpstreamProtocol } from './request-record.ts';

/**
 * A policy sees every request before it goes anywhere. It answers it, or leaves it to the next one; before that it may change the plan.
 *
 * Define a response once (Engine.defineResponse()), not for each request; read only what the decision needs: headers are looked up in
 * the engine, and whatever is allocated is allocated for every request of the node. The request is shown until the call returns.
 */
export type RequestPolicy = (request: ShownRequest, plan: RequestPlan) => DefinedResponse | undefined;

/** The order counts: the first answer is given. */
export const requestPolicies: readonly RequestPolicy[] = [];

/** How a request will be carried. It begins with what holds for all; a policy replaces what it wants otherwise. */
export interface RequestPlan {
  deadlines: RequestDeadlines;
  /** Which version of HTTP it is carried on in; undefined: as the destination is declared, else the client's. */
  upstreamProtocol: UpstreamProtocol | undefined;
}

type RequestText = Pick<Engine, 'requestMethod' | 'requestPath' | 'requestAuthority' | 'requestHeader'>;

/** The request that a policy is asked about. */
export class ShownRequest {
  context: RequestContext;
  readonly #engine: RequestText;
  #record: RequestRecord;
  #index = 0;

  constructor(record: RequestRecord, engine: RequestText, context: RequestContext) {
    this.#record = record;
    this.#engine = engine;
    this.context = context;
  }

  /** The next request. @param index among those that the engine shows */
  show(record: RequestRecord, index: number, context: RequestContext): void {
    this.#record = record;
    this.#index = index;
    this.context = context;
  }

  get method(): string {
    const { method } = this.#record;
    return method === '' ? this.#engine.requestMethod(this.#index) : (method satisfies Method);
  }
  /** With its query. */
  get path(): string {
    return this.#engine.requestPath(this.#index);
  }
  /** In lower case. */
  get authority(): string {
    return this.#engine.requestAuthority(this.#index);
  }
  get isGrpc(): boolean {
    return this.#record.isGrpc;
  }
  /** Fields of one name are joined by ", "; undefined: it has none. */
  header(name: string): string | undefined {
    return this.#engine.requestHeader(this.#index, name);
  }
}
