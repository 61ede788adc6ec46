import { performance } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';

export interface Clock {
  /** Milliseconds since 1970; it may jump. */
  now(): number;
  /** Milliseconds that only go forward; they stand still while the machine sleeps. */
  monotonic(): number;
  /** Also returns when aborted. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    await setTimeout(ms, undefined, { signal }).catch(() => undefined);
  },
};

/** How old something is. The clock that went farther counts: one may have been put back, the other have stood still. */
export class Age {
  readonly #clock: Clock;
  readonly #now: number;
  readonly #monotonic: number;
  readonly #atFirstMs: number;

  /** @param atFirstMs how old it is already */
  constructor(clock: Clock, atFirstMs = 0) {
    this.#clock = clock;
    this.#atFirstMs = atFirstMs;
    this.#now = clock.now();
    this.#monotonic = clock.monotonic();
  }

  get ms(): number {
    return this.#atFirstMs + Math.max(this.#clock.now() - this.#now, this.#clock.monotonic() - this.#monotonic);
  }
}
