const firstMs = 100;
const maximumMs = 10_000;

/** Waits between attempts to connect: each up to twice as long as the last, half of it left to chance so that agents spread. */
export class ReconnectBackoff {
  readonly #random: () => number;
  #nextMs = firstMs;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  next(): number {
    const wait = this.#nextMs * (0.5 + this.#random() / 2);
    this.#nextMs = Math.min(2 * this.#nextMs, maximumMs);
    return wait;
  }

  succeeded(): void {
    this.#nextMs = firstMs;
  }
}
