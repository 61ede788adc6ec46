import type { ReviewReader } from '../../admin/readers.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { TokenReviewApi } from '../identity/token-review.ts';
import { messageOf } from '../../mesh/message-of.ts';

const path = '/metrics';
const askMs = 5000;

/** Has the API server say whose a token is and whether that user may `get` /metrics, as kubelets do for their own. */
export function reviewerOf(api: TokenReviewApi): ReviewReader {
  return async (token, signal) => {
    try {
      const user = await whose(api, token, signal);
      return user instanceof WeftError ? user : await mayRead(api, user, signal);
    } catch (cause) {
      const why = messageOf(cause);
      return new WeftError('WEFT-E232', `the API server could not be asked: ${why}`, { cause });
    }
  };
}

type Fields = Readonly<Record<string, unknown>>;

async function whose(api: TokenReviewApi, token: string, signal: AbortSignal): Promise<Fields | WeftError> {
  // Without audiences it is the API server's own that counts, which agents' tokens are not for.
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenReview', spec: { token } };
  const request = { method: 'POST', path: '/apis/authentication.k8s.io/v1/tokenreviews', body } as const;
  const { authenticated, user, error } = statusOf(await api.json(request, signal, askMs));
  if (authenticated === true) return fieldsOf(user);
  const why = typeof error === 'string' && error !== '' ? `: ${error}` : '';
  return new WeftError('WEFT-E230', `the API server refuses the token${why}`);
}

async function mayRead(api: TokenReviewApi, user: Fields, signal: AbortSignal): Promise<WeftError | undefined> {
  const { username, uid, groups, extra } = user;
  const body = {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: { user: username, uid, groups, extra, nonResourceAttributes: { path, verb: 'get' } },
  };
  const request = { method: 'POST', path: '/apis/authorization.k8s.io/v1/subjectaccessreviews', body } as const;
  const { allowed } = statusOf(await api.json(request, signal, askMs));
  return allowed === true ? undefined : new WeftError('WEFT-E231', `${String(username)} may not get ${path}`);
}

function statusOf(review: unknown): Fields {
  return fieldsOf(fieldsOf(review)['status']);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
