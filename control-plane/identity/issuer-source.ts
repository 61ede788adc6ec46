import { setTimeout } from 'node:timers/promises';

import { WeftError } from '../../mesh/errors.ts';
import type { Issuer, IssuerTexts } from './issuer.ts';
import { readIssuer } from './issuer.ts';
import { openIssuerFolder, readIssuerFolder } from './issuer-folder.ts';

export interface IssuerSourceOptions {
  /** Its files are read; where there are none, an authority of our own is made. */
  readonly folder: string;
  /** Files are compared rather than watched: a mounted Secret is swapped by symbolic links, which no watch sees reliably. */
  readonly pollMs?: number;
  readonly now?: () => number;
  /** Told once of each issuer that is refused, while the previous one goes on. */
  readonly onRefused?: (error: WeftError) => void;
  /** A new issuer, or a new bundle of anchors. */
  readonly onChange?: (issuer: Issuer) => void;
}

/** The issuer of a folder, replaced without a restart when its files are. */
export class IssuerSource {
  readonly #options: IssuerSourceOptions;
  readonly #closed = new AbortController();
  readonly #watching: Promise<void>;
  #texts: IssuerTexts;
  #issuer: Issuer;
  #lastRefusal: string | undefined;

  static async open(options: IssuerSourceOptions): Promise<IssuerSource | WeftError> {
    const now = options.now?.() ?? Date.now();
    const texts = await openIssuerFolder(options.folder, now);
    if (texts instanceof WeftError) return texts;
    const issuer = readIssuer(texts, now);
    return issuer instanceof WeftError ? issuer : new IssuerSource(options, texts, issuer);
  }

  private constructor(options: IssuerSourceOptions, texts: IssuerTexts, issuer: Issuer) {
    this.#options = options;
    this.#texts = texts;
    this.#issuer = issuer;
    this.#watching = this.#watch();
  }

  get current(): Issuer {
    return this.#issuer;
  }

  async close(): Promise<void> {
    this.#closed.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { pollMs = 5000 } = this.#options;
    const { signal } = this.#closed;
    for (;;) {
      await setTimeout(pollMs, undefined, { signal, ref: false }).catch(() => undefined); // aborted by close()
      if (signal.aborted) return;
      await this.#reload();
    }
  }

  async #reload(): Promise<void> {
    const { folder, now = Date.now, onChange, onRefused } = this.#options;
    const found = await readIssuerFolder(folder);
    const texts = found ?? new WeftError('WEFT-E213', `the files of ${folder} are gone`);
    if (!(texts instanceof WeftError) && isSame(texts, this.#texts)) {
      this.#lastRefusal = undefined;
      return;
    }
    const issuer = texts instanceof WeftError ? texts : readIssuer(texts, now());
    if (texts instanceof WeftError || issuer instanceof WeftError) {
      const error = texts instanceof WeftError ? texts : (issuer as WeftError);
      if (error.message !== this.#lastRefusal) onRefused?.(error);
      this.#lastRefusal = error.message;
      return;
    }
    this.#lastRefusal = undefined;
    this.#texts = texts;
    this.#issuer = issuer;
    onChange?.(issuer);
  }
}

function isSame(a: IssuerTexts, b: IssuerTexts): boolean {
  return a.certificates === b.certificates && a.key === b.key && a.anchors === b.anchors;
}
