import { setImmediate } from 'node:timers/promises';

import type { Clock } from './clock.ts';

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** Time that passes only when a test says so. */
export class TestClock implements Clock {
  readonly #sleepers = new Set<Sleeper>();
  #monotonic = 5000;
  #offset: number;

  constructor(now: number) {
    this.#offset = now - this.#monotonic;
  }

  now(): number {
    return this.#monotonic + this.#offset;
  }

  monotonic(): number {
    return this.#monotonic;
  }

  /** As an administrator does it. */
  setForward(ms: number): void {
    this.#offset += ms;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const sleeper: Sleeper = { until: this.#monotonic + ms, wake: resolve };
      this.#sleepers.add(sleeper);
      signal.addEventListener(
        'abort',
        () => {
          this.#sleepers.delete(sleeper);
          resolve();
        },
        { once: true },
      );
    });
  }

  /** Stops at each sleeper on the way, so that what it does happens at its time. */
  async advance(ms: number): Promise<void> {
    const end = this.#monotonic + ms;
    await settle();
    for (;;) {
      const [next] = [...this.#sleepers].sort((a, b) => a.until - b.until);
      if (next === undefined || next.until > end) break;
      this.#monotonic = Math.max(this.#monotonic, next.until);
      this.#sleepers.delete(next);
      next.wake();
      await settle();
    }
    this.#monotonic = end;
    await settle();
  }
}

/** Lets everything happen that waits for no clock. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await setImmediate();
}
