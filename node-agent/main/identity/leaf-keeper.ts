import type { ErrorCode } from '../../../mesh/errors.ts';
import { WeftError } from '../../../mesh/errors.ts';
import { clockSkewAllowanceMs } from '../../../mesh/x509.ts';
import type { Clock } from './clock.ts';
import { Age } from './clock.ts';
import { Credentials } from './credentials.ts';
import type { Certificate, LeafTimes } from './issued-leaf.ts';
import { isIssuedBy, isTrusted, measureSkew, readIssued } from './issued-leaf.ts';
import { requestFor } from './key-request.ts';
import { RetryBackoff } from './retry-backoff.ts';

export interface LeafKeeperOptions {
  readonly identity: string;
  /** Of an earlier agent: used as if it had been issued to this one. */
  readonly saved?: Credentials;
  /** Does not throw. Says when the request left and when its answer came. */
  readonly certify: (csr: Uint8Array, signal: AbortSignal) => Promise<TimedCertificate | WeftError>;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onCredentials: (credentials: Credentials) => void;
  readonly onSkew: (skewMs: number) => void;
  /** Told when the reason why there is no new leaf becomes another. */
  readonly onError: (error: WeftError) => void;
}

export interface TimedCertificate {
  readonly certificate: Certificate;
  readonly sentAt: number;
  readonly receivedAt: number;
}

export interface LeafStatus {
  readonly identity: string;
  readonly state: 'waiting' | 'valid' | 'expired';
  readonly notAfter: Date | undefined;
  /** Why the last attempt to get a leaf failed, or what that has led to. */
  readonly error: WeftError | undefined;
}

interface HeldLeaf {
  readonly credentials: Credentials;
  readonly age: Age;
  readonly renewAtAgeMs: number;
  readonly expiresAtAgeMs: number;
}

const earliestRenewal = 0.6;
const latestRenewal = 0.7;
const shortestRenewalMs = 1000;
/** So that a clock that jumped is noticed. */
const longestSleepMs = 60_000;
const longestRetryMs = 60_000;
const newIssuerSpreadMs = 10_000;
/** Connections wait for the first leaf. */
const longestFirstRetryMs = 5000;

/** Keeps one identity in leaves: each with a new key, renewed well before it ends, held until it ends if that fails. */
export class LeafKeeper {
  readonly #options: LeafKeeperOptions;
  readonly #closed = new AbortController();
  readonly #running: Promise<void>;
  #renewal = new AbortController();
  #saved: Credentials | undefined;
  #leaf: HeldLeaf | undefined;
  #error: WeftError | undefined;
  #toldCode: ErrorCode | undefined;

  constructor(options: LeafKeeperOptions) {
    this.#options = options;
    this.#saved = options.saved;
    this.#running = this.#run();
  }

  get credentials(): Credentials | undefined {
    return this.#leaf?.credentials;
  }

  get status(): LeafStatus {
    const { identity } = this.#options;
    const notAfter = this.#leaf?.credentials.notAfter;
    if (!this.#isExpired()) return { identity, state: this.#leaf ? 'valid' : 'waiting', notAfter, error: this.#error };
    return { identity, state: 'expired', notAfter, error: this.#expiryError() };
  }

  /** A leaf that the anchors do not lead to any more is renewed at once. */
  trust(anchors: readonly Uint8Array[]): void {
    if (this.#leaf === undefined || this.#leaf.credentials.trustAnchors === anchors) return;
    const credentials = this.#leaf.credentials.withTrustAnchors(anchors);
    this.#leaf = { ...this.#leaf, credentials };
    this.#options.onCredentials(credentials);
    if (!isTrusted(credentials.certificates, anchors)) this.#renewal.abort();
  }

  /** Not at once: all nodes of the mesh hear of a new issuer at the same time. */
  renewUnlessIssuedBy(issuer: Uint8Array): void {
    if (this.#leaf === undefined || isIssuedBy(this.#leaf.credentials.certificates, issuer)) return;
    const renewal = this.#renewal;
    const { clock, random } = this.#options;
    void clock.sleep(random() * newIssuerSpreadMs, this.#closed.signal).then(() => {
      renewal.abort();
    });
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { clock, random, onCredentials } = this.#options;
    const { signal } = this.#closed;
    const backoff = new RetryBackoff(random);
    while (!signal.aborted) {
      this.#renewal = new AbortController();
      const leaf = (await this.#restore()) ?? (await this.#renew());
      if (isAborted(signal)) return;
      if (leaf instanceof WeftError) {
        this.#fail(leaf);
        await clock.sleep(backoff.next(this.#longestRetryMs()), signal);
        continue;
      }
      backoff.reset();
      this.#error = undefined;
      this.#toldCode = undefined;
      this.#leaf = leaf;
      onCredentials(leaf.credentials);
      await this.#untilDue(leaf);
    }
  }

  async #renew(): Promise<HeldLeaf | WeftError> {
    const { identity, certify, onSkew } = this.#options;
    const { privateKey, publicKey, csr } = requestFor(identity);
    const answer = await certify(csr, this.#closed.signal);
    if (answer instanceof WeftError) return answer;
    const { certificate, sentAt, receivedAt } = answer;
    const times = readIssued(certificate, identity, publicKey);
    if (times instanceof WeftError) return times;
    onSkew(measureSkew(times.issuedAt, sentAt, receivedAt));

    const notAfter = new Date(times.notAfter);
    const { chain: certificates, anchors: trustAnchors } = certificate;
    const credentials = new Credentials({ identity, certificates, trustAnchors, notAfter }, privateKey);
    return this.#hold(credentials, times, new Age(this.#options.clock));
  }

  /** Undefined where nothing was saved, or nothing that peers would accept still. */
  async #restore(): Promise<HeldLeaf | undefined> {
    const { identity, clock } = this.#options;
    const saved = this.#saved;
    this.#saved = undefined;
    if (saved === undefined) return undefined;
    const answer = { chain: saved.certificates, anchors: saved.trustAnchors, notAfter: saved.notAfter };
    const times = readIssued(answer, identity, saved.publicKey);
    if (times instanceof WeftError || clock.now() >= times.notAfter) return undefined;
    const leaf = this.#hold(saved, times, new Age(clock, Math.max(clock.now() - times.issuedAt, 0)));
    return Promise.resolve(leaf); // later: whoever made this keeper does not know it yet
  }

  /** All by the leaf's own life, not by the node's clock: peers judge the leaf by theirs. */
  #hold(credentials: Credentials, times: LeafTimes, age: Age): HeldLeaf {
    const expiresAtAgeMs = times.notAfter - times.issuedAt;
    const lifeMs = expiresAtAgeMs - clockSkewAllowanceMs;
    const share = latestRenewal - (latestRenewal - earliestRenewal) * this.#options.random();
    return { credentials, age, renewAtAgeMs: Math.max(share * lifeMs, shortestRenewalMs), expiresAtAgeMs };
  }

  async #untilDue({ age, renewAtAgeMs }: HeldLeaf): Promise<void> {
    const signal = AbortSignal.any([this.#closed.signal, this.#renewal.signal]);
    for (;;) {
      const waitMs = renewAtAgeMs - age.ms;
      if (waitMs <= 0 || isAborted(signal)) return;
      await this.#options.clock.sleep(Math.min(waitMs, longestSleepMs), signal);
    }
  }

  #fail(cause: WeftError): void {
    this.#error = cause;
    const error = this.#isExpired() ? this.#expiryError() : cause;
    if (error.code !== this.#toldCode) this.#options.onError(error);
    this.#toldCode = error.code;
  }

  #expiryError(): WeftError {
    const end = this.#leaf?.credentials.notAfter.toISOString() ?? 'an unknown time';
    return new WeftError('WEFT-E222', `the certificate of ${this.#options.identity} expired at ${end}`, {
      cause: this.#error,
    });
  }

  #isExpired(): boolean {
    return this.#leaf !== undefined && this.#leaf.age.ms >= this.#leaf.expiresAtAgeMs;
  }

  #longestRetryMs(): number {
    if (this.#leaf === undefined || this.#isExpired()) return longestFirstRetryMs;
    return Math.min(Math.max(this.#leaf.expiresAtAgeMs / 20, shortestRenewalMs), longestRetryMs);
  }
}

/** Awaiting changes it, which the compiler does not expect. */
function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
