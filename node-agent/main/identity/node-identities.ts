import { WeftError } from '../../../mesh/errors.ts';
import { KeyedQueue } from '../keyed-queue.ts';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';
import { ClockSkew } from './clock-skew.ts';
import type { Credentials } from './credentials.ts';
import type { Certificate } from './issued-leaf.ts';
import type { LeafStatus, TimedCertificate } from './leaf-keeper.ts';
import { LeafKeeper } from './leaf-keeper.ts';

export interface Certifier {
  /** Asks the controller. Is abandoned, not awaited, when the signal is aborted. */
  certify(csr: Uint8Array, signal: AbortSignal): Promise<Certificate | WeftError>;
}

export interface NodeIdentitiesOptions {
  readonly certifier: Certifier;
  /** What an earlier agent had, where it can be known; each is used when its identity is wanted. */
  readonly saved?: readonly Credentials[];
  /** Told of each new leaf and of each change of the trust anchors. */
  readonly onCredentials: (credentials: Credentials) => void;
  /** The identity is not wanted any more. */
  readonly onRelease?: (identity: string) => void;
  /** To be logged; told once for each reason. */
  readonly onError?: (error: WeftError) => void;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export interface IdentitiesStatus {
  /** All identities have a valid leaf and the clock can be relied upon. */
  readonly isReady: boolean;
  readonly identities: readonly LeafStatus[];
  /** How far the node's clock is ahead of the controller's; undefined until a first leaf was issued. */
  readonly clockSkewMs: number | undefined;
  readonly clockError: WeftError | undefined;
}

const certifyTimeoutMs = 10_000;
const concurrency = 8;

/** The identities of the pods of this node: their keys, their leaves and whom they trust. */
export class NodeIdentities {
  readonly #options: NodeIdentitiesOptions;
  readonly #clock: Clock;
  readonly #saved: Map<string, Credentials>;
  readonly #keepers = new Map<string, LeafKeeper>();
  readonly #closing = new Set<Promise<void>>();
  readonly #clockSkew: ClockSkew;
  readonly #queue = new KeyedQueue(concurrency);
  #trustAnchors: readonly Uint8Array[] = [];
  #issuer: Uint8Array | undefined;

  constructor(options: NodeIdentitiesOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#saved = new Map(options.saved?.map((credentials) => [credentials.identity, credentials]));
    this.#clockSkew = new ClockSkew(this.#clock);
  }

  /** From now on these identities and no others. */
  want(identities: ReadonlySet<string>): void {
    for (const identity of this.#keepers.keys()) if (!identities.has(identity)) this.#release(identity);
    for (const identity of identities) if (!this.#keepers.has(identity)) this.#keep(identity);
  }

  /** Of all identities that have a leaf, for a worker that has just started. */
  get credentials(): Credentials[] {
    return [...this.#keepers.values()].flatMap((keeper) => keeper.credentials ?? []);
  }

  get status(): IdentitiesStatus {
    const identities = [...this.#keepers.values()].map((keeper) => keeper.status);
    const { ms: clockSkewMs, error: clockError } = this.#clockSkew;
    const isReady = clockError === undefined && identities.every(({ state }) => state === 'valid');
    return { isReady, identities, clockSkewMs, clockError };
  }

  /** The word of the directory on whom the mesh trusts, and who signs its leaves. */
  trust(anchors: readonly Uint8Array[], issuer: Uint8Array): void {
    this.#issuer = issuer;
    this.#trust(anchors);
    for (const keeper of this.#keepers.values()) keeper.renewUnlessIssuedBy(issuer);
  }

  /** One bundle for the node, in force for all identities at once. */
  #trust(anchors: readonly Uint8Array[]): void {
    if (isSameBundle(anchors, this.#trustAnchors)) return;
    this.#trustAnchors = anchors;
    for (const keeper of this.#keepers.values()) keeper.trust(anchors);
  }

  /** A bundle that came with a leaf may be older than what the directory has said meanwhile. */
  #issued(keeper: LeafKeeper | undefined, credentials: Credentials): void {
    if (this.#issuer === undefined) this.#trust(credentials.trustAnchors);
    else if (!isSameBundle(credentials.trustAnchors, this.#trustAnchors)) keeper?.trust(this.#trustAnchors);
  }

  async close(): Promise<void> {
    this.want(new Set());
    await Promise.all(this.#closing);
  }

  #keep(identity: string): void {
    const { onCredentials, onError, random = Math.random } = this.#options;
    const saved = this.#saved.get(identity);
    this.#saved.delete(identity);
    const keeper = new LeafKeeper({
      identity,
      ...(saved && { saved }),
      certify: (csr, signal) => this.#queue.run(identity, () => this.#certify(csr, signal)),
      clock: this.#clock,
      random,
      onCredentials: (credentials) => {
        onCredentials(credentials);
        this.#issued(this.#keepers.get(identity), credentials);
      },
      onSkew: (skewMs) => {
        this.#noteSkew(skewMs);
      },
      onError: (error) => onError?.(error),
    });
    this.#keepers.set(identity, keeper);
  }

  #release(identity: string): void {
    const closing = this.#keepers.get(identity)?.close();
    this.#keepers.delete(identity);
    this.#options.onRelease?.(identity);
    if (closing === undefined) return;
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
  }

  async #certify(csr: Uint8Array, signal: AbortSignal): Promise<TimedCertificate | WeftError> {
    const attempt = new AbortController();
    const either = AbortSignal.any([signal, attempt.signal]);
    const sentAt = this.#clock.now();
    try {
      const certificate = await Promise.race([
        this.#options.certifier.certify(csr, either),
        this.#clock
          .sleep(certifyTimeoutMs, either)
          .then(() => new WeftError('WEFT-E223', `the controller gave no certificate within ${certifyTimeoutMs} ms`)),
      ]);
      return certificate instanceof WeftError ? certificate : { certificate, sentAt, receivedAt: this.#clock.now() };
    } catch (cause) {
      return new WeftError('WEFT-E223', 'the controller could not be asked for a certificate', { cause });
    } finally {
      attempt.abort();
    }
  }

  #noteSkew(skewMs: number): void {
    const hadError = this.#clockSkew.error !== undefined;
    this.#clockSkew.note(skewMs);
    const { error } = this.#clockSkew;
    if (error !== undefined && !hadError) this.#options.onError?.(error);
  }
}

function isSameBundle(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  const [x, y] = [a, b].map((bundle) => bundle.map((anchor) => Buffer.from(anchor).toString('base64')).sort());
  return JSON.stringify(x) === JSON.stringify(y);
}
