import type { RequestEnding } from '../../../native/engine.d.ts';
import { grpcCodes } from './failures.ts';
import { noGrpcStatus } from './request-record.ts';

export type Classification = 'success' | 'failure';

/** As Linkerd has it: what a server is not to blame for is no failure, RESOURCE_EXHAUSTED included. */
const grpcFailures: ReadonlySet<number> = new Set([
  grpcCodes.unknown,
  grpcCodes.deadlineExceeded,
  grpcCodes.permissionDenied,
  grpcCodes.internal,
  grpcCodes.unavailable,
  grpcCodes.dataLoss,
]);

export interface ClassifiedExchange {
  readonly isGrpc: boolean;
  readonly isSynthetic: boolean;
  readonly ending: RequestEnding;
  readonly status: number;
  readonly grpcStatus: number;
}

/** Of a response at its end. Undefined: the client left before there was one. */
export function classify(exchange: ClassifiedExchange): Classification | undefined {
  const { isGrpc, isSynthetic, ending, status, grpcStatus } = exchange;
  const clientLeft = ending === 'client-reset';
  if (status === 0) return clientLeft ? undefined : 'failure';
  if (isGrpc && grpcStatus !== noGrpcStatus) return grpcFailures.has(grpcStatus) ? 'failure' : 'success';
  const cutShort = ending !== 'complete' && !isSynthetic && !clientLeft;
  return cutShort || status >= 500 ? 'failure' : 'success';
}
