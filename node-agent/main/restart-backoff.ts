const quickDeathMs = 5000;
const firstMs = 50;
const maximumMs = 2000;

/** How long to wait before a process that died is started again: not at all the first time, ever longer while it dies at once. */
export class RestartBackoff {
  readonly #random: () => number;
  #nextMs = 0;

  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /** `livedMs`: from its start to its end. Half of the wait is left to chance, so that workers do not all start together. */
  next(livedMs: number): number {
    if (livedMs >= quickDeathMs) this.#nextMs = 0;
    const wait = this.#nextMs * (0.5 + this.#random() / 2);
    this.#nextMs = Math.min(Math.max(2 * this.#nextMs, firstMs), maximumMs);
    return wait;
  }
}
