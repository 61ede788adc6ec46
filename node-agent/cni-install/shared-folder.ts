import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** Larger files are neither network configurations nor our plugin; they are not read. */
const maximumBytes = 1 << 24;
const temporaryPrefix = '.weft-cni-';
const abandonedMs = 60_000;

export interface SharedFile {
  readonly content: Buffer;
  readonly mode: number;
}

export type ExchangeFiles = (one: string, other: string) => void;

/**
 * A folder in which others write as well, at any time. A file changes as a whole or not at all, and only where it still is what it was
 * when the change was decided on: what somebody else has written meanwhile stays, whatever the moment.
 */
export class SharedFolder {
  readonly path: string;
  readonly #exchange: ExchangeFiles;
  #temporaries = 0;

  constructor(path: string, exchange: ExchangeFiles) {
    this.path = path;
    this.#exchange = exchange;
  }

  /** None where the folder does not exist. */
  names(): string[] {
    try {
      return readdirSync(this.path);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    }
  }

  /** Says of each of the files whether it has changed since; content is not looked at. */
  signature(names: readonly string[]): string {
    const states = names.map((name) => {
      const status = statSync(this.#join(name), { bigint: true, throwIfNoEntry: false });
      return status === undefined ? '-' : `${status.ino} ${status.size} ${status.mtimeNs} ${status.ctimeNs}`;
    });
    return JSON.stringify([names, states]);
  }

  /** Undefined where there is none, or no file of a sensible size. */
  read(name: string): SharedFile | undefined {
    return this.#read(this.#join(name));
  }

  /** @returns whether the file was as expected, and is now as wanted */
  replace(name: string, expected: SharedFile, content: Buffer | string): boolean {
    const temporary = this.#write(content, expected.mode);
    try {
      let mine: Buffer = Buffer.from(content);
      let displaced: Buffer = expected.content;
      let replaced = true;
      const seen = new Set<bigint>();
      // What was displaced unexpectedly goes back, and so on: at the end the newest of the others' is in place.
      for (;;) {
        this.#exchange(temporary, this.#join(name));
        const found = this.#read(temporary)?.content ?? Buffer.alloc(0);
        if (found.equals(displaced)) return replaced;
        const { ino, mtimeNs } = lstatSync(temporary, { bigint: true });
        // One that others were still writing when it was displaced before. Of what is dated alike the last found is the newest.
        if (seen.has(ino) && mtimeNs < lstatSync(this.#join(name), { bigint: true }).mtimeNs) return false;
        seen.add(ino);
        [mine, displaced, replaced] = [found, mine, false];
      }
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false; // somebody has removed it
      throw error;
    } finally {
      this.#discard(temporary);
    }
  }

  /** @returns false where there is such a file already */
  create(name: string, content: Buffer | string, mode: number): boolean {
    const temporary = this.#write(content, mode);
    try {
      linkSync(temporary, this.#join(name));
      return true;
    } catch (error) {
      if (hasCode(error, 'EEXIST')) return false;
      throw error;
    } finally {
      this.#discard(temporary);
    }
  }

  /** @returns whether the file was as expected, and is gone */
  remove(name: string, expected: SharedFile): boolean {
    const temporary = this.#temporary();
    try {
      renameSync(this.#join(name), temporary);
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return false;
      throw error;
    }
    try {
      if (this.#read(temporary)?.content.equals(expected.content)) return true;
      try {
        linkSync(temporary, this.#join(name));
      } catch (error) {
        if (!hasCode(error, 'EEXIST')) throw error; // there is a newer one
      }
      return false;
    } finally {
      this.#discard(temporary);
    }
  }

  /** In place of whatever has the name; a program that runs from the old file goes on with that. */
  put(name: string, content: Buffer, mode: number): void {
    mkdirSync(this.path, { recursive: true });
    const temporary = this.#write(content, mode);
    try {
      renameSync(temporary, this.#join(name));
    } finally {
      this.#discard(temporary);
    }
  }

  /** What installers that were killed have left behind. */
  removeAbandoned(): void {
    for (const name of this.names().filter((candidate) => candidate.startsWith(temporaryPrefix))) {
      const age = Date.now() - (statSync(this.#join(name), { throwIfNoEntry: false })?.mtimeMs ?? 0);
      if (age > abandonedMs) rmSync(this.#join(name), { force: true });
    }
  }

  #read(path: string): SharedFile | undefined {
    let file: number;
    try {
      file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK); // a FIFO would wait for its writer
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return undefined;
      throw error;
    }
    try {
      const status = fstatSync(file);
      if (!status.isFile() || status.size > maximumBytes) return undefined;
      return { content: readFileSync(file), mode: status.mode & 0o777 };
    } finally {
      closeSync(file);
    }
  }

  #write(content: Buffer | string, mode: number): string {
    const path = this.#temporary();
    const file = openSync(path, 'wx', mode);
    try {
      fchmodSync(file, mode); // the umask has its say in openSync
      writeFileSync(file, content);
      fsyncSync(file);
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    } finally {
      closeSync(file);
    }
    return path;
  }

  #discard(temporary: string): void {
    rmSync(temporary, { force: true });
    const folder = openSync(this.path, 'r');
    try {
      fsyncSync(folder);
    } finally {
      closeSync(folder);
    }
  }

  /** With an ending that no container runtime looks at. */
  #temporary(): string {
    this.#temporaries += 1;
    return this.#join(`${temporaryPrefix}${process.pid}-${process.hrtime.bigint()}-${this.#temporaries}.tmp`);
  }

  #join(name: string): string {
    return join(this.path, name);
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
