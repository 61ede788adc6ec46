import type { RequestEnding } from '../../../native/engine.d.ts';

export interface RequestError {
  /** Different for each, below 32. */
  readonly number: number;
  /** In the label `error` of responses, with Linkerd's words. Empty: none. */
  readonly ofResponse: string;
  /** In the label `error` of *_http_errors_total, with Linkerd's words. Empty: nothing of ours has failed. */
  readonly ofProxy: string;
}

let numbered = 0;

function define(ofResponse: string, ofProxy: string): RequestError {
  return { number: numbered++, ofResponse, ofProxy };
}

const none = define('', '');
const failFast = define('FAIL_FAST', 'failfast');
const loadShed = define('LOAD_SHED', 'loadshed');
const connection = define('IO', 'i/o');
const unexpected = define('UNKNOWN', 'unexpected');

const errors: Readonly<Record<RequestEnding, RequestError>> = {
  complete: none,
  synthetic: none,
  reset: unexpected,
  'client-reset': define('CANCEL', ''),
  'upstream-reset': define('RESET', 'i/o'),
  'connect-failed': connection,
  'connect-timeout': define('IO', 'dispatch timeout'),
  'tls-failed': connection,
  'hold-timeout': failFast,
  'response-timeout': define('RESPONSE_HEADERS_TIMEOUT', 'response timeout'),
  'request-timeout': define('REQUEST_TIMEOUT', 'response timeout'),
  'idle-timeout': define('IDLE_TIMEOUT', 'response timeout'),
  'invalid-request': unexpected,
  'invalid-response': connection,
  'refused-by-limit': loadShed,
  revoked: unexpected,
  shutdown: unexpected,
  error: unexpected,
};

/** Without retries or policies that answer so, only a destination without endpoints and a full queue lead to these. */
const ofOwnAnswers: Readonly<Record<number, RequestError>> = { 503: loadShed, 504: failFast };

/** @param status of the response, 0 for none; @param attempts how often the request was forwarded */
export function errorOf(ending: RequestEnding, status: number, attempts: number): RequestError {
  if (ending === 'synthetic' && attempts === 0) return ofOwnAnswers[status] ?? none;
  return errors[ending];
}

/** By number, as the newer families name them. */
export const grpcStatusNames = [
  'OK',
  'CANCELLED',
  'UNKNOWN',
  'INVALID_ARGUMENT',
  'DEADLINE_EXCEEDED',
  'NOT_FOUND',
  'ALREADY_EXISTS',
  'PERMISSION_DENIED',
  'RESOURCE_EXHAUSTED',
  'FAILED_PRECONDITION',
  'ABORTED',
  'OUT_OF_RANGE',
  'UNIMPLEMENTED',
  'INTERNAL',
  'UNAVAILABLE',
  'DATA_LOSS',
  'UNAUTHENTICATED',
] as const;
