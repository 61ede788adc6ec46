/** Lets one task sleep until another has something for it. Any number of calls before it sleeps count as one. */
export class Wakeup {
  #pending = false;
  #resume: (() => void) | undefined;

  call(): void {
    this.#pending = true;
    this.#resume?.();
  }

  /** Resolves at a call, at an abort, or after the time; to be awaited by one task at a time. */
  async wait(signal: AbortSignal, milliseconds: number): Promise<void> {
    if (!this.#pending && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, milliseconds);
      this.#resume = resolve;
      const abort = (): void => resolve();
      signal.addEventListener('abort', abort, { once: true });
      await promise;
      signal.removeEventListener('abort', abort);
      clearTimeout(timer);
      if (this.#resume === resolve) this.#resume = undefined; // the next task may sleep already
    }
    this.#pending = false;
  }
}
