import { createHash } from 'node:crypto';

import { WeftError } from '../mesh/errors.ts';
import { messageOf } from '../mesh/message-of.ts';

/** Whether who holds the token may read: undefined, or why not. WEFT-E230 and WEFT-E231 are refusals; anything else says that nobody knows. */
export type ReviewReader = (token: string, signal: AbortSignal) => Promise<WeftError | undefined>;

export interface ReadersOptions {
  readonly review: ReviewReader;
  /** For one answer. */
  readonly deadlineMs: number;
  readonly now?: () => number;
}

interface Kept {
  readonly verdict: WeftError | undefined;
  readonly until: number;
}

const keepGoodMs = 20_000;
const keepBadMs = 2000;
const maximumKept = 1000;
const maximumAsked = 16;

/**
 * Remembers for a while who may read, so that not every request is a question; of tokens only hashes. Strangers can send any number of
 * tokens: what they take is bounded, and none of it from readers who are known.
 */
export class Readers {
  readonly #options: ReadersOptions;
  readonly #now: () => number;
  /** By the hash of the token, oldest first. Good ones stay when they are over, to be told from strangers'. */
  readonly #good = new Map<string, Kept>();
  readonly #bad = new Map<string, Kept>();
  readonly #asked = new Map<string, Promise<WeftError | undefined>>();

  constructor(options: ReadersOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  async review(token: string): Promise<WeftError | undefined> {
    const key = createHash('sha256').update(token).digest('base64');
    const kept = this.#good.get(key) ?? this.#bad.get(key);
    if (kept !== undefined && kept.until > this.#now()) return kept.verdict;
    const asked = this.#asked.get(key);
    if (asked !== undefined) return asked;
    if (this.#asked.size >= maximumAsked && !this.#good.has(key))
      return new WeftError('WEFT-E232', `${maximumAsked} other tokens are being verified`);
    const question = this.#ask(token);
    this.#asked.set(key, question);
    const verdict = await question;
    this.#asked.delete(key);
    this.#keep(key, verdict);
    return verdict;
  }

  async #ask(token: string): Promise<WeftError | undefined> {
    const { review, deadlineMs } = this.#options;
    try {
      return await review(token, AbortSignal.timeout(deadlineMs));
    } catch (cause) {
      const why = messageOf(cause);
      return new WeftError('WEFT-E232', `the token could not be verified: ${why}`, { cause });
    }
  }

  #keep(key: string, verdict: WeftError | undefined): void {
    // Who was good stays known as that while nobody can say.
    if (verdict !== undefined && !isRefusal(verdict) && this.#good.has(key)) return;
    this.#good.delete(key);
    this.#bad.delete(key);
    const [kept, keepMs] = verdict === undefined ? [this.#good, keepGoodMs] : [this.#bad, keepBadMs];
    kept.set(key, { verdict, until: this.#now() + keepMs });
    for (const oldest of kept.keys()) {
      if (kept.size <= maximumKept) return;
      kept.delete(oldest);
    }
  }
}

/** Somebody has looked and said no. */
export function isRefusal({ code }: WeftError): boolean {
  return code === 'WEFT-E230' || code === 'WEFT-E231';
}
