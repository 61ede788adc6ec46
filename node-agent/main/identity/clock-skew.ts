import { WeftError } from '../../../mesh/errors.ts';
import { clockSkewAllowanceMs } from '../../../mesh/x509.ts';
import type { Clock } from './clock.ts';

/** How far the node's clock is from the controller's: measured at each issue, and followed between them when the node's is set. */
export class ClockSkew {
  readonly #clock: Clock;
  #measured: { readonly skewMs: number; readonly offsetMs: number } | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  note(skewMs: number): void {
    this.#measured = { skewMs, offsetMs: this.#offsetMs };
  }

  /** Above zero if the node is ahead; undefined before the first measurement. */
  get ms(): number | undefined {
    return this.#measured && this.#measured.skewMs + this.#offsetMs - this.#measured.offsetMs;
  }

  /** Where it is more than certificates bear. */
  get error(): WeftError | undefined {
    const { ms } = this;
    if (ms === undefined || Math.abs(ms) <= clockSkewAllowanceMs) return undefined;
    const side = ms > 0 ? 'ahead of' : 'behind';
    const seconds = Math.round(Math.abs(ms) / 1000);
    return new WeftError('WEFT-E220', `the clock of this node is ${seconds} s ${side} the clock of the controller`);
  }

  get #offsetMs(): number {
    return this.#clock.now() - this.#clock.monotonic();
  }
}
