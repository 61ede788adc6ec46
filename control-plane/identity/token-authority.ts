import type { KeyObject } from 'node:crypto';
import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';

import type { ErrorCode } from '../../mesh/errors.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Authenticator } from './certificate-authority.ts';
import { createPrivateFile } from './private-files.ts';

export const tokenAudience = 'weft.dev';

/** The agent that a token is for. */
export interface AgentPod {
  readonly node: string;
  readonly pod: string;
}

export interface TokenAuthorityOptions {
  /** HMAC-SHA256: who verifies tokens is who issues them. */
  readonly key: KeyObject;
  /** Of the agents. */
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly now?: () => number;
}

const maximumLength = 16 * 1024;
const keyBytes = 32;
/** The only one, so that nothing of a token says how to verify it. */
const header = encodePart({ alg: 'HS256', typ: 'JWT' });

/** Issues and verifies agents' tokens where there is no API server to do it, with the claims that Kubernetes puts into bound tokens. */
export class TokenAuthority implements Authenticator {
  readonly #options: TokenAuthorityOptions;
  readonly #now: () => number;

  constructor(options: TokenAuthorityOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  issue({ node, pod }: AgentPod, { lifeMs, audience = tokenAudience }: { lifeMs: number; audience?: string }): string {
    const { namespace, serviceAccount } = this.#options;
    const issuedAt = Math.floor(this.#now() / 1000);
    const payload = encodePart({
      aud: [audience],
      iat: issuedAt,
      exp: Math.ceil((this.#now() + lifeMs) / 1000),
      sub: this.#subject,
      'kubernetes.io': {
        namespace,
        node: { name: node },
        pod: { name: pod },
        serviceaccount: { name: serviceAccount },
      },
    });
    return `${header}.${payload}.${this.#sign(payload)}`;
  }

  authenticate(token: string): Promise<{ readonly node: string } | WeftError> {
    return Promise.resolve(this.#verify(token));
  }

  #verify(token: string): { readonly node: string } | WeftError {
    if (token.length > maximumLength) return refused('WEFT-E206', `is longer than ${maximumLength} characters`);
    const [tokenHeader, payload, signature, ...more] = token.split('.');
    if (tokenHeader !== header || payload === undefined || signature === undefined || more.length > 0) {
      return refused('WEFT-E206', 'is not of this control plane');
    }
    if (!isEqual(signature, this.#sign(payload))) return refused('WEFT-E206', 'is not signed by this control plane');

    const claims = decodePart(payload);
    const now = this.#now() / 1000;
    if (!Array.isArray(claims['aud']) || !claims['aud'].includes(tokenAudience)) {
      return refused('WEFT-E208', `is not for the audience ${tokenAudience}`);
    }
    const { iat, exp } = claims;
    if (typeof iat !== 'number' || typeof exp !== 'number') return refused('WEFT-E207', 'never expires');
    if (now >= exp) return refused('WEFT-E207', `expired at ${new Date(exp * 1000).toISOString()}`);
    if (now < iat) return refused('WEFT-E207', `is not valid before ${new Date(iat * 1000).toISOString()}`);
    if (claims['sub'] !== this.#subject) return refused('WEFT-E209', `is not of ${this.#subject}`);
    const binding = recordOf(claims['kubernetes.io']);
    const node = nameOf(binding['node']);
    if (node === undefined || nameOf(binding['pod']) === undefined) {
      return refused('WEFT-E209', 'is not bound to a pod on a node');
    }
    return { node };
  }

  get #subject(): string {
    return `system:serviceaccount:${this.#options.namespace}:${this.#options.serviceAccount}`;
  }

  #sign(payload: string): string {
    return createHmac('sha256', this.#options.key).update(`${header}.${payload}`).digest('base64url');
  }
}

/** Of a process that issues tokens to itself. */
export function newTokenKey(): KeyObject {
  return createSecretKey(randomBytes(keyBytes));
}

/** Made at first, then kept, so that tokens outlive a restart. */
export async function openTokenKey(path: string): Promise<KeyObject | WeftError> {
  try {
    await createPrivateFile(path, randomBytes(keyBytes));
    const key = await readFile(path);
    if (key.length !== keyBytes) return new WeftError('WEFT-E213', `${path} does not hold ${keyBytes} bytes`);
    return createSecretKey(key);
  } catch (cause) {
    return new WeftError('WEFT-E213', `the key for tokens, ${path}, could not be read or made`, { cause });
  }
}

function isEqual(a: string, b: string): boolean {
  const [x, y] = [Buffer.from(a), Buffer.from(b)];
  return x.length === y.length && timingSafeEqual(x, y);
}

function encodePart(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** Of what we signed. */
function decodePart(text: string): Record<string, unknown> {
  return recordOf(JSON.parse(Buffer.from(text, 'base64url').toString()));
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function nameOf(value: unknown): string | undefined {
  const { name } = recordOf(value);
  return typeof name === 'string' && name !== '' ? name : undefined;
}

function refused(code: ErrorCode, why: string): WeftError {
  return new WeftError(code, `the token ${why}`);
}
