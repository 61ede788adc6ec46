import type { Destination } from '../destinations.ts';
import type { WorkerPod } from '../pods.ts';
import type { RequestSeries, RouteSeries } from './request-series.ts';
import type { Upstream } from './upstreams.ts';

/** The request of one direction and one pod that is told of. */
export interface Counted {
  readonly requests: RequestSeries;
  readonly route: RouteSeries;
}

/** Requests of one connection are mostly counted in the same places, which are looked for once as long as nothing of this changes. */
export interface CountedConnection extends Counted {
  readonly authority: number;
  readonly upstream: Upstream | undefined;
  readonly destination: Destination | undefined;
  readonly podName: string;
  /** Requests between pods of a node pass one worker once, but both pods are told of. */
  readonly server: WorkerPod | undefined;
  readonly serverName: string | undefined;
  readonly received: Counted | undefined;
}
