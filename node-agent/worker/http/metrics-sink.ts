import type { RequestContext } from './request-context.ts';
import type { RequestRecord } from './request-record.ts';
import type { Upstream } from './upstreams.ts';

/** Told of every request, inside the engine's call: the record is shown only until it returns. */
export interface HttpMetrics {
  /** Once per request, also of one that a policy answers, before anything is decided. */
  requested(context: RequestContext, record: RequestRecord): void;
  /**
   * Once per request that was told by requested(), at its very end.
   *
   * @param upstream where it was forwarded to last; undefined: to what the client dialled, or to nobody
   */
  responded(context: RequestContext, record: RequestRecord, upstream: Upstream | undefined): void;
}

export const uncounted: HttpMetrics = {
  requested: () => undefined,
  responded: () => undefined,
};
