import { WeftError } from '../../mesh/errors.ts';
import type { ApiClient } from '../sources/kubernetes/api-client.ts';
import { ApiFailure } from '../sources/kubernetes/api-client.ts';
import type { Lease } from './lease.ts';
import { LeaseStore, microTime } from './lease.ts';
import { sleep } from '../../mesh/sleep.ts';
import { messageOf } from '../../mesh/message-of.ts';

export interface ElectionTimes {
  /** How long others wait after they have seen the Lease renewed. */
  readonly leaseSeconds: number;
  /** How long a leader goes on after it has begun to renew; less than the Lease, so that it has ended before another begins. */
  readonly renewMs: number;
  /** Between attempts; those who wait for their turn add up to 1.2 times as much by chance. */
  readonly retryMs: number;
}

/** Those of Kubernetes' own controllers. */
export const electionTimes: ElectionTimes = { leaseSeconds: 15, renewMs: 10_000, retryMs: 2000 };

export interface LeaderElectionOptions {
  readonly client: Pick<ApiClient, 'json'>;
  readonly namespace: string;
  /** Of the Lease. */
  readonly name: string;
  /** Of this process and of no other, also not of one before it. */
  readonly identity: string;
  /** Who holds the Lease now, this process included; empty where nobody does. */
  readonly onHolder?: (identity: string) => void;
  /** Told once for as long as it stays the same. */
  readonly onProblem: (problem: WeftError) => void;
  readonly times?: ElectionTimes;
  readonly random?: () => number;
  /** The wall clock, which is only written down for people: nobody's decision rests on it. */
  readonly now?: () => number;
}

/** Does what only one of all replicas may do, until the signal. */
export type Term = (signal: AbortSignal) => Promise<void>;

const jitter = 1.2;
const releaseMs = 3000;

/**
 * Decides by a Lease which replica leads, with the rules of client-go. A Lease is over when nobody has renewed it for its duration since
 * *this* process saw it change, so clocks that differ do no harm. A leader that cannot renew stops by itself before another may begin.
 */
export class LeaderElection {
  readonly #options: LeaderElectionOptions;
  readonly #times: ElectionTimes;
  readonly #random: () => number;
  readonly #store: LeaseStore;
  /** What was seen last, and when it was first. */
  #seen: { readonly lease: Lease | undefined; readonly at: number } | undefined;
  #leadsUntil = -Infinity;
  #failures = 0;
  #told = '';

  constructor(options: LeaderElectionOptions) {
    this.#options = options;
    this.#times = options.times ?? electionTimes;
    this.#random = options.random ?? Math.random;
    const { client, namespace, name } = options;
    this.#store = new LeaseStore({ client, namespace, name, requestMs: this.#times.renewMs / 2 });
  }

  get isLeader(): boolean {
    return performance.now() < this.#leadsUntil;
  }

  /** Takes part until the signal, and then lets the next one lead at once. Rejects where a term does. */
  async run(term: Term, signal: AbortSignal): Promise<void> {
    const hasEnded = (): boolean => signal.aborted;
    while (!hasEnded()) {
      if (await this.#attempt(signal)) await this.#lead(term, signal);
      await sleep(this.#times.retryMs * (1 + jitter * this.#random()), signal);
    }
    await this.#release();
  }

  async #lead(term: Term, signal: AbortSignal): Promise<void> {
    const lost = new AbortController();
    const ended = AbortSignal.any([signal, lost.signal]);
    const hasEnded = (): boolean => ended.aborted;
    let deadline = this.#atDeadline(lost);
    const work = term(ended).finally(() => lost.abort());
    work.catch(() => undefined); // it is awaited below
    try {
      for (;;) {
        await sleep(this.#times.retryMs, ended);
        if (hasEnded()) break;
        if (await this.#attempt(ended)) {
          clearTimeout(deadline);
          deadline = this.#atDeadline(lost);
        } else if (!this.isLeader) lost.abort();
      }
    } finally {
      clearTimeout(deadline);
      this.#leadsUntil = -Infinity;
    }
    await work;
  }

  #atDeadline(lost: AbortController): NodeJS.Timeout {
    return setTimeout(() => lost.abort(), this.#leadsUntil - performance.now());
  }

  /** @returns whether the Lease is this process's, for a while from before the request */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    try {
      const lease = await this.#store.read(signal);
      this.#see(lease);
      if (!this.#mayWrite(lease)) {
        this.#leadsUntil = -Infinity;
        this.#succeeded();
        return false;
      }
      const begun = performance.now();
      this.#see(await this.#store.write(lease, this.#claim(lease), signal));
      this.#leadsUntil = begun + this.#times.renewMs;
      this.#succeeded();
      return true;
    } catch (error) {
      const isBeaten = error instanceof ApiFailure && error.status === 409;
      if (!signal.aborted && !isBeaten) this.#failed(error);
      return false;
    }
  }

  #see(lease: Lease | undefined): void {
    if (this.#seen !== undefined && this.#seen.lease?.revision === lease?.revision) return;
    const before = this.#seen?.lease?.holder;
    this.#seen = { lease, at: performance.now() };
    const holder = lease?.holder ?? '';
    if (holder !== before) this.#options.onHolder?.(holder);
  }

  #mayWrite(lease: Lease | undefined): boolean {
    if (lease === undefined || lease.holder === '' || lease.holder === this.#options.identity) return true;
    const { durationMs = this.#times.leaseSeconds * 1000 } = lease;
    return performance.now() >= (this.#seen?.at ?? Infinity) + durationMs;
  }

  #claim(lease: Lease | undefined) {
    const { identity, now = Date.now } = this.#options;
    const isOurs = lease?.holder === identity;
    const renewTime = microTime(now());
    return {
      holder: identity,
      seconds: this.#times.leaseSeconds,
      renewTime,
      acquireTime: (isOurs ? lease.acquireTime : undefined) ?? renewTime,
      transitions: lease?.transitions === undefined ? 0 : lease.transitions + (isOurs ? 0 : 1),
    };
  }

  /** Where it fails, others wait until the Lease is over. */
  async #release(): Promise<void> {
    const { identity, now = Date.now } = this.#options;
    if (this.#seen?.lease?.holder !== identity) return;
    const signal = AbortSignal.timeout(releaseMs);
    try {
      const lease = await this.#store.read(signal); // a renewal that was cut off may have got through
      if (lease?.holder !== identity) return;
      const time = microTime(now());
      const claim = { holder: '', seconds: 1, renewTime: time, acquireTime: time, transitions: lease.transitions ?? 0 };
      this.#see(await this.#store.write(lease, claim, signal));
    } catch (error) {
      this.#failed(error);
    }
  }

  #succeeded(): void {
    this.#failures = 0;
    this.#told = '';
  }

  #failed(cause: unknown): void {
    if (++this.#failures < 2) return; // one is ordinary: a server that restarts
    const reason = messageOf(cause);
    if (reason === this.#told) return;
    this.#told = reason;
    const { namespace, name, onProblem } = this.#options;
    onProblem(new WeftError('WEFT-E122', `Lease ${namespace}/${name}: ${reason}`, { cause }));
  }
}
