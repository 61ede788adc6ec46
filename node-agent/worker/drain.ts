import type { Engine } from '../../native/engine.d.ts';

const idleCheckMs = 50;

/** A worker's way to its end: accept for a grace period more, let open connections finish, then be done. */
export class Drain {
  readonly #engine: Pick<Engine, 'statistics' | 'stopAccepting'>;
  readonly #timeoutMs: number;
  readonly #onDone: () => void;
  #grace: NodeJS.Timeout | undefined;
  #finishing = false;

  /** `timeoutMs`: how long connections may take to finish; 0 as long as they last. */
  constructor(engine: Pick<Engine, 'statistics' | 'stopAccepting'>, timeoutMs: number, onDone: () => void) {
    this.#engine = engine;
    this.#timeoutMs = timeoutMs;
    this.#onDone = onDone;
  }

  /** May be called again: a shorter grace period hastens the end, as SIGTERM does after the broker's request. */
  start(graceMs: number): void {
    if (this.#finishing) return;
    if (graceMs === 0) {
      clearTimeout(this.#grace);
      this.#finish();
      return;
    }
    this.#grace ??= setTimeout(() => {
      this.#finish();
    }, graceMs);
  }

  #finish(): void {
    this.#finishing = true;
    this.#engine.stopAccepting();
    const deadline = this.#timeoutMs === 0 ? Infinity : performance.now() + this.#timeoutMs;
    const check = setInterval(() => {
      const { connections, tunnels } = this.#engine.statistics();
      // Peers end tunnels: one that has not heard yet may be opening a stream.
      if (connections + tunnels > 0 && performance.now() < deadline) return;
      clearInterval(check);
      this.#onDone();
    }, idleCheckMs);
  }
}
