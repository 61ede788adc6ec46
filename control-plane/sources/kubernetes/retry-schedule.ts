export interface RetryTimes {
  readonly firstMs: number;
  readonly maximumMs: number;
}

/** How long to wait after each failure in a row: twice as long each time, and up to as much again by chance so that replicas spread. */
export class RetrySchedule {
  readonly #times: RetryTimes;
  readonly #random: () => number;
  #failures = 0;

  constructor(times: RetryTimes, random: () => number = Math.random) {
    this.#times = times;
    this.#random = random;
  }

  get failures(): number {
    return this.#failures;
  }

  /** @param atLeastMs what the server asks for, which counts up to the maximum */
  next(atLeastMs = 0): number {
    const { firstMs, maximumMs } = this.#times;
    const wait = Math.min(firstMs * 2 ** Math.min(this.#failures, 30), maximumMs / 2);
    this.#failures++;
    return Math.max(wait * (1 + this.#random()), Math.min(atLeastMs, maximumMs));
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
