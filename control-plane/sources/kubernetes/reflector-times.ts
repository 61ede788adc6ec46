import type { RetryTimes } from './retry-schedule.ts';

export interface ReflectorTimes {
  readonly retry: RetryTimes;
  /** A watch that ends before counts as a failure, or a server that ends each at once would be asked without pause. */
  readonly shortWatchMs: number;
  /** The server is asked to end a watch after once to twice as long, so that watches spread over its replicas. */
  readonly watchSeconds: number;
  /** What a server may take longer than asked. */
  readonly graceMs: number;
  /** Servers send a bookmark each minute; after a longer silence the watch goes on anew, which costs one request. */
  readonly idleMs: number;
  readonly listMs: number;
  /** Between looks for a kind that is not installed. */
  readonly absentMs: number;
}

export const clusterTimes: ReflectorTimes = {
  retry: { firstMs: 800, maximumMs: 30_000 },
  shortWatchMs: 1000,
  watchSeconds: 300,
  graceMs: 5000,
  idleMs: 90_000,
  listMs: 60_000,
  absentMs: 30_000,
};
