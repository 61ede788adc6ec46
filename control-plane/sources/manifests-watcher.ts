import type { FSWatcher } from 'node:fs';
import { statSync, watch } from 'node:fs';
import { basename } from 'node:path';

const settleMs = 10; // an editor writes a file in several steps
const longestSettleMs = 20;
const rescanMs = 1000;

/**
 * Says when something in a folder may have changed, and which files surely did. inotify watches an inode, so a folder that is
 * removed and made anew is lost to it: a look once per second finds the new one, and whatever else was missed.
 */
export class FolderWatcher {
  readonly #folder: string;
  readonly #onChange: (touched: ReadonlySet<string>) => void;
  readonly #rescan: NodeJS.Timeout;
  #watcher: FSWatcher | undefined;
  #watched: bigint | undefined;
  #touched = new Set<string>();
  #settling: NodeJS.Timeout | undefined;
  #unsettledSince = 0;

  constructor(folder: string, onChange: (touched: ReadonlySet<string>) => void) {
    this.#folder = folder;
    this.#onChange = onChange;
    this.#watch();
    this.#rescan = setInterval(() => {
      this.#notify();
    }, rescanMs);
  }

  close(): void {
    clearInterval(this.#rescan);
    clearTimeout(this.#settling);
    this.#watcher?.close();
  }

  #watch(): void {
    const inode = statSync(this.#folder, { bigint: true, throwIfNoEntry: false })?.ino;
    if (inode !== undefined && inode === this.#watched) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#watched = undefined;
    try {
      this.#watcher = watch(this.#folder, (_event, name) => {
        // Its own name: it is removed, and the next of that name may get the same inode.
        if (name === basename(this.#folder)) this.#watched = undefined;
        if (name !== null) this.#touched.add(name);
        this.#notifyWhenSettled();
      });
      this.#watcher.on('error', () => {
        this.#watched = undefined; // to be watched anew at the next look
      });
      this.#watched = inode;
    } catch {
      // It is gone again, or the limit of watches is reached: the next look tries once more.
    }
  }

  #notifyWhenSettled(): void {
    if (this.#settling === undefined) {
      this.#unsettledSince = performance.now();
      this.#settling = setTimeout(() => {
        this.#notify();
      }, settleMs);
    } else if (performance.now() - this.#unsettledSince < longestSettleMs - settleMs) {
      this.#settling.refresh();
    }
  }

  #notify(): void {
    clearTimeout(this.#settling);
    this.#settling = undefined;
    this.#watch();
    const touched = this.#touched;
    this.#touched = new Set();
    this.#onChange(touched);
  }
}
