import { Code, ConnectError } from '@connectrpc/connect';

import type { ErrorCode } from '../../mesh/errors.ts';
import { WeftError } from '../../mesh/errors.ts';

/** The header in which a stable code travels beside gRPC's own. */
export const errorCodeHeader = 'weft-error';

const codes: Partial<Record<ErrorCode, Code>> = {
  'WEFT-E301': Code.Unauthenticated,
  'WEFT-E303': Code.InvalidArgument,
  'WEFT-E304': Code.ResourceExhausted,
  'WEFT-E305': Code.Aborted,
  'WEFT-E308': Code.Unavailable,
};

/** Whatever else the catalogue has for a caller is a refusal. */
export function toConnectError(error: WeftError): ConnectError {
  return new ConnectError(error.message, codes[error.code] ?? Code.PermissionDenied, { [errorCodeHeader]: error.code });
}
