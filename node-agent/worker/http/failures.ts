import { getSystemErrorName } from 'node:util';

import type { RequestEnding } from '../../../native/engine.d.ts';
import { tlsFailures } from '../connection-metrics.ts';
import { messageErrors } from './message-errors.ts';

/** google.rpc.Code */
export const grpcCodes = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  invalidArgument: 3,
  deadlineExceeded: 4,
  notFound: 5,
  permissionDenied: 7,
  resourceExhausted: 8,
  aborted: 10,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
} as const;

/** What a client is told where no response can be had. */
export interface Failure {
  readonly status: number;
  readonly grpcStatus: number;
  /** The client's connection ends with it. */
  readonly closes: boolean;
  readonly cause: string;
}

const badGateway = { status: 502, grpcStatus: grpcCodes.unavailable, closes: true } as const;
const unavailable = { status: 503, grpcStatus: grpcCodes.unavailable, closes: true } as const;
const timedOut = { status: 504, grpcStatus: grpcCodes.deadlineExceeded } as const;

/** Without going anywhere: as Linkerd answers while nothing is ready. */
export const failFast: Failure = {
  status: 504,
  grpcStatus: grpcCodes.unavailable,
  closes: true,
  cause: 'service in fail-fast',
};
export const forbiddenByNetwork: Failure = { ...timedOut, closes: true, cause: 'the network does not let it through' };
export const tooManyWait: Failure = { ...unavailable, cause: 'too many requests wait' };

/**
 * What became of a request that has no response. @param detail of the ending, as the record shows it
 */
export function failureOf(ending: RequestEnding, detail: number): Failure {
  switch (ending) {
    case 'connect-failed':
      return { ...badGateway, cause: `connection failed: ${errorName(detail)}` };
    case 'connect-timeout':
      return { ...timedOut, closes: true, cause: 'connection timed out' };
    case 'tls-failed':
      return { ...badGateway, cause: `mutual TLS failed: ${tlsFailures[detail] ?? 'protocol'}` };
    case 'upstream-reset':
      return { ...badGateway, cause: 'connection closed before the response' };
    case 'invalid-response':
      return { ...badGateway, cause: `invalid response: ${messageErrors[detail]?.[0] ?? 'unknown'}` };
    case 'hold-timeout':
      return failFast;
    case 'response-timeout':
      return { ...timedOut, closes: false, cause: 'timed out waiting for response headers' };
    case 'request-timeout':
      return { ...timedOut, closes: false, cause: 'request timed out' };
    case 'idle-timeout':
      return { ...timedOut, closes: false, cause: 'timed out as idle' };
    case 'invalid-request': {
      const [name, status] = messageErrors[detail] ?? ['unknown', 400];
      return { status, grpcStatus: grpcCodes.internal, closes: true, cause: `invalid request: ${name}` };
    }
    case 'refused-by-limit':
      return { ...unavailable, cause: 'too many requests are under way' };
    case 'revoked':
      return forbiddenByNetwork;
    case 'shutdown':
      return { ...unavailable, cause: 'the proxy ends' };
    default:
      return { status: 500, grpcStatus: grpcCodes.internal, closes: true, cause: 'unexpected error' };
  }
}

function errorName(errno: number): string {
  return errno === 0 ? 'unknown' : getSystemErrorName(-errno);
}
