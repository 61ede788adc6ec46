import { createHash } from 'node:crypto';

import type { ErrorCode } from '../../mesh/errors.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Authenticator } from './certificate-authority.ts';
import { tokenAudience } from './token-authority.ts';
import { messageOf } from '../../mesh/message-of.ts';

/** Asks the API server; rejects where it does not answer or refuses. */
export interface TokenReviewApi {
  json(
    request: { readonly method?: 'GET' | 'POST'; readonly path: string; readonly body?: unknown },
    signal: AbortSignal,
    deadlineMs?: number,
  ): Promise<unknown>;
}

export interface TokenReviewAuthenticatorOptions {
  readonly api: TokenReviewApi;
  /** Of the agents. */
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly now?: () => number;
}

type Outcome = { readonly node: string } | WeftError;

interface Cached {
  readonly outcome: Promise<Outcome>;
  /** Infinity while it is asked. */
  until: number;
}

const maximumLength = 16 * 1024;
/** A pod that is deleted takes its token with it; so long it may still be good. */
const cacheMs = 10_000;
/** More agents than a cluster has nodes. */
const maximumCached = 10_000;
const maximumAsked = 64;
const askMs = 5000;
const extraPrefix = 'authentication.kubernetes.io';

/** Has the API server verify agents' tokens, which are bound to pods and so to nodes. */
export class TokenReviewAuthenticator implements Authenticator {
  readonly #options: TokenReviewAuthenticatorOptions;
  readonly #now: () => number;
  readonly #subject: string;
  /** By the hash of the token, oldest first; refusals only while they are asked for. */
  readonly #cache = new Map<string, Cached>();
  #asked = 0;

  constructor(options: TokenReviewAuthenticatorOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#subject = `system:serviceaccount:${options.namespace}:${options.serviceAccount}`;
  }

  async authenticate(token: string, signal: AbortSignal): Promise<Outcome> {
    signal.throwIfAborted();
    if (token.length > maximumLength) return refused('WEFT-E206', `is longer than ${maximumLength} characters`);
    const claims = claimsOf(token);
    if (claims === undefined) return refused('WEFT-E206', 'is no token of a service account');
    // Nobody has verified these, so they can only refuse: whoever has no agent's token does not get the API server to work.
    if (!isFor(claims['aud'])) return refused('WEFT-E208', `is not for the audience ${tokenAudience}`);
    if (claims['sub'] !== this.#subject) return refused('WEFT-E209', `is not of ${this.#subject}`);
    const { promise, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    try {
      return await Promise.race([this.#outcomeOf(token, claims), promise]);
    } finally {
      signal.removeEventListener('abort', abort);
    }
  }

  #outcomeOf(token: string, claims: Claims): Promise<Outcome> {
    const key = createHash('sha256').update(token).digest('base64');
    const known = this.#cache.get(key);
    if (known !== undefined && known.until > this.#now()) return known.outcome;
    if (this.#asked >= maximumAsked) {
      return Promise.resolve(unverified(`${maximumAsked} other tokens are being verified`));
    }
    const outcome = this.#ask(token, claims);
    const cached: Cached = { outcome, until: Infinity };
    this.#cache.delete(key);
    this.#cache.set(key, cached);
    this.#asked++;
    void outcome.then((result) => {
      this.#asked--;
      const expiry = typeof claims['exp'] === 'number' ? claims['exp'] * 1000 : Infinity;
      cached.until = Math.min(this.#now() + cacheMs, expiry);
      if (result instanceof WeftError && this.#cache.get(key) === cached) this.#cache.delete(key);
      this.#evict();
    });
    return outcome;
  }

  /** Entries are in the order of their age, so what is over is in front. */
  #evict(): void {
    const now = this.#now();
    for (const [key, { until }] of this.#cache) {
      if (until > now && this.#cache.size <= maximumCached) return;
      this.#cache.delete(key);
    }
  }

  async #ask(token: string, claims: Claims): Promise<Outcome> {
    const deadline = AbortSignal.timeout(askMs);
    try {
      const review = await this.#options.api.json(
        {
          method: 'POST',
          path: '/apis/authentication.k8s.io/v1/tokenreviews',
          body: {
            apiVersion: 'authentication.k8s.io/v1',
            kind: 'TokenReview',
            spec: { token, audiences: [tokenAudience] },
          },
        },
        deadline,
        askMs,
      );
      return await this.#judge(recordOf(recordOf(review)['status']), claims, deadline);
    } catch (cause) {
      return unverified(messageOf(cause), cause);
    }
  }

  async #judge(status: Claims, claims: Claims, deadline: AbortSignal): Promise<Outcome> {
    if (status['authenticated'] !== true) {
      const { exp } = claims;
      if (typeof exp === 'number' && exp * 1000 <= this.#now())
        return refused('WEFT-E207', `expired at ${new Date(exp * 1000).toISOString()}`);
      const { error } = status;
      return refused('WEFT-E206', typeof error === 'string' ? `is refused: ${error}` : 'is refused by the API server');
    }
    // A server that knows nothing of audiences names none, and then the token may be meant for anybody.
    if (!isFor(status['audiences'])) return refused('WEFT-E208', `is not for the audience ${tokenAudience}`);
    const user = recordOf(status['user']);
    if (user['username'] !== this.#subject) return refused('WEFT-E209', `is not of ${this.#subject}`);
    const extra = recordOf(user['extra']);
    const pod = { name: only(extra[`${extraPrefix}/pod-name`]), uid: only(extra[`${extraPrefix}/pod-uid`]) };
    if (pod.name === undefined || pod.uid === undefined) return refused('WEFT-E209', 'is not bound to a pod');
    const node = only(extra[`${extraPrefix}/node-name`]) ?? (await this.#nodeOf(pod.name, pod.uid, deadline));
    return node === undefined ? refused('WEFT-E209', 'is not bound to a pod on a node') : { node };
  }

  /** Before Kubernetes 1.30 tokens do not name the node. */
  async #nodeOf(name: string, uid: string, deadline: AbortSignal): Promise<string | undefined> {
    const path = `/api/v1/namespaces/${encodeURIComponent(this.#options.namespace)}/pods/${encodeURIComponent(name)}`;
    const pod = recordOf(await this.#options.api.json({ path }, deadline, askMs));
    if (recordOf(pod['metadata'])['uid'] !== uid) return undefined;
    const { nodeName } = recordOf(pod['spec']);
    return typeof nodeName === 'string' && nodeName !== '' ? nodeName : undefined;
  }
}

type Claims = Readonly<Record<string, unknown>>;

function claimsOf(token: string): Claims | undefined {
  const parts = token.split('.');
  if (parts.length !== 3 || !parts.every((part) => /^[A-Za-z0-9_-]+$/.test(part))) return undefined;
  try {
    return recordOf(JSON.parse(Buffer.from(parts[1] ?? '', 'base64url').toString()));
  } catch {
    return undefined;
  }
}

function isFor(audiences: unknown): boolean {
  return audiences === tokenAudience || (Array.isArray(audiences) && audiences.includes(tokenAudience));
}

function recordOf(value: unknown): Claims {
  return typeof value === 'object' && value !== null ? (value as Claims) : {};
}

/** The values of an extra are lists. */
function only(value: unknown): string | undefined {
  if (!Array.isArray(value) || value.length !== 1) return undefined;
  const [one] = value as unknown[];
  return typeof one === 'string' && one !== '' ? one : undefined;
}

function refused(code: ErrorCode, why: string): WeftError {
  return new WeftError(code, `the token ${why}`);
}

function unverified(why: string, cause?: unknown): WeftError {
  return new WeftError('WEFT-E210', `the token could not be verified: ${why}`, { cause });
}
