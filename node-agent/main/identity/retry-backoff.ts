const firstMs = 500;

/** How long to wait after a failure: twice as long each time, half of it left to chance so that nodes do not all ask together. */
export class RetryBackoff {
  readonly #random: () => number;
  #nextMs = firstMs;

  constructor(random: () => number) {
    this.#random = random;
  }

  next(maximumMs: number): number {
    const wait = Math.min(this.#nextMs, maximumMs);
    this.#nextMs = Math.min(2 * this.#nextMs, maximumMs);
    return wait * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#nextMs = firstMs;
  }
}
