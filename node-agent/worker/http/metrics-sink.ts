import type { RequestContext } from './request-context.ts';
import type { RequestRecord } from './request-record.ts';
import type { Upstream } from './upstreams.ts';

/** What is known of a request that is not shown any more, as it was held. */
export interface RequestFacts {
  /** Number of its name; 0: none, or not known. */
  readonly authority: number;
  readonly isGrpc: boolean;
}

/** Told of every request, inside the engine's call: the record is shown only until it returns. */
export interface HttpMetrics {
  /** Once per request, also of one that a policy answers, before anything is decided. */
  requested(context: RequestContext, record: RequestRecord): void;
  /**
   * Each time that a request is forwarded.
   *
   * @param upstream undefined: to what the client dialled
   */
  forwarded(context: RequestContext, request: RequestFacts, upstream: Upstream | undefined): void;
  /**
   * Once per request that was told by requested(), at its very end.
   *
   * @param upstream where it was forwarded to last; undefined: to what the client dialled, or to nobody
   */
  responded(context: RequestContext, record: RequestRecord, upstream: Upstream | undefined): void;
}
