import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

import { WeftError } from '../../mesh/errors.ts';
import type { SourceObject } from '../../mesh/objects.ts';
import { objectKey } from '../../mesh/objects.ts';
import type { ManifestDocuments } from './manifest-documents.ts';
import { readDocuments } from './manifest-documents.ts';
import { FolderWatcher } from './manifests-watcher.ts';
import type { Delta, Source } from './source.ts';
import { messageOf } from '../../mesh/message-of.ts';

const vanishMs = 40; // editors move a file away, or empty it, before they write it
const maximumFileBytes = 16 * 1024 * 1024;
const nothing: ManifestDocuments = { objects: [], problems: [] };
const untouched: ReadonlySet<string> = new Set();

interface FileState {
  /** What changes with the content; empty where it could not be read. */
  readonly stamp: string;
  readonly documents: ManifestDocuments;
}

/** Objects from a folder of YAML files. What a file said last stays in force while it cannot be read. */
export class ManifestSource implements Source {
  readonly #folder: string;
  readonly #listeners: (() => void)[] = [];
  readonly #deltaListeners: ((deltas: readonly Delta[]) => void)[] = [];
  readonly #files = new Map<string, FileState>();
  readonly #vanishedAt = new Map<string, number>();
  #objects: ReadonlyMap<string, SourceObject> = new Map();
  #folderProblem: WeftError | undefined;
  #scanning: Promise<void> = Promise.resolve();
  #lookAgain: NodeJS.Timeout | undefined;
  #signal = new AbortController().signal;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async start(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#signal = signal;
    const watcher = new FolderWatcher(this.#folder, (touched) => {
      this.#scanNext(touched);
    });
    signal.addEventListener('abort', () => {
      watcher.close();
      clearTimeout(this.#lookAgain);
    });
    this.#scanNext(untouched);
    await this.#scanning;
  }

  /** Also when only the problems are others. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  onDeltas(listener: (deltas: readonly Delta[]) => void): void {
    this.#deltaListeners.push(listener);
  }

  problems(): readonly WeftError[] {
    const inFiles = [...this.#files.values()].flatMap((file) => file.documents.problems);
    return this.#folderProblem ? [this.#folderProblem, ...inFiles] : inFiles;
  }

  #scanNext(touched: ReadonlySet<string>): void {
    this.#scanning = this.#scanning.then(() => this.#scan(touched));
  }

  async #scan(touched: ReadonlySet<string>): Promise<void> {
    if (this.#signal.aborted) return;
    const names = await this.#list();
    if (names === undefined) return;
    let changed = false;
    for (const name of this.#files.keys()) {
      if (!names.has(name) && this.#hasVanished(name)) changed = this.#files.delete(name) || changed;
    }
    for (const name of [...names].sort()) changed = (await this.#readFile(name, touched.has(name))) || changed;
    if (changed) this.#publish();
  }

  /** Undefined where the folder cannot be listed; then everything stays in force. */
  async #list(): Promise<ReadonlySet<string> | undefined> {
    const before = this.#folderProblem;
    let names: ReadonlySet<string> | undefined;
    try {
      names = new Set((await readdir(this.#folder)).filter((name) => /^[^.].*\.ya?ml$/.test(name)));
      this.#folderProblem = undefined;
    } catch (cause) {
      this.#folderProblem = new WeftError('WEFT-E108', `${this.#folder} cannot be listed: ${messageOf(cause)}`, {
        cause,
      });
    }
    if (before?.message !== this.#folderProblem?.message) this.#publish();
    return names;
  }

  /** @returns whether what the file says has changed */
  async #readFile(name: string, touched: boolean): Promise<boolean> {
    const path = join(this.#folder, name);
    const before = this.#files.get(name);
    try {
      const { mtimeNs, size, ino, isFile } = await statOf(path);
      if (size === 0n && before !== undefined && before.documents !== nothing) {
        if (!this.#hasVanished(name)) return false;
        this.#files.set(name, { stamp: '', documents: nothing });
        return true;
      }
      this.#vanishedAt.delete(name);
      // Two writes within one tick of the file system's clock have one stamp, so inotify's word counts more.
      const stamp = `${ino} ${mtimeNs} ${size}`;
      if (before?.stamp === stamp && !touched) return false;
      if (!isFile) throw new Error('it is not a regular file');
      if (size > maximumFileBytes) throw new Error(`it is larger than ${maximumFileBytes} bytes`);
      const documents = size === 0n ? nothing : readDocuments(path, await readFile(path, 'utf8'));
      this.#files.set(name, { stamp, documents: before ? keepLastGood(before.documents, documents) : documents });
      return true;
    } catch (cause) {
      if (isMissing(cause)) return false; // deleted since it was listed: the next scan does not find its name
      const problem = new WeftError('WEFT-E108', `${path} cannot be read: ${messageOf(cause)}`, { cause });
      const isNews = before?.documents.problems[0]?.message !== problem.message;
      this.#files.set(name, { stamp: '', documents: { ...(before?.documents ?? nothing), problems: [problem] } });
      return isNews;
    }
  }

  /** Whether the file has been missing or empty for so long that it is meant; else it is looked at again in time. */
  #hasVanished(name: string): boolean {
    const now = performance.now();
    const since = this.#vanishedAt.get(name) ?? now;
    if (now - since >= vanishMs) {
      this.#vanishedAt.delete(name);
      return true;
    }
    this.#vanishedAt.set(name, since);
    this.#lookAgain ??= setTimeout(() => {
      this.#lookAgain = undefined;
      this.#scanNext(untouched);
    }, vanishMs + 1);
    return false;
  }

  #publish(): void {
    if (this.#signal.aborted) return;
    const objects = new Map<string, SourceObject>();
    for (const { documents } of this.#files.values()) {
      for (const object of documents.objects) objects.set(objectKey(object), object);
    }
    const deltas = difference(this.#objects, objects);
    this.#objects = objects;
    if (deltas.length > 0) for (const listener of this.#deltaListeners) listener(deltas);
    for (const listener of this.#listeners) listener();
  }
}

function difference(before: ReadonlyMap<string, SourceObject>, now: ReadonlyMap<string, SourceObject>): Delta[] {
  const deltas: Delta[] = [];
  for (const [key, object] of before) if (!now.has(key)) deltas.push({ type: 'delete', object });
  for (const [key, object] of now) {
    const known = before.get(key);
    if (known !== object && !isDeepStrictEqual(known, object)) deltas.push({ type: 'upsert', object });
  }
  return deltas;
}

async function statOf(path: string): Promise<{ mtimeNs: bigint; size: bigint; ino: bigint; isFile: boolean }> {
  const status = await stat(path, { bigint: true });
  return { mtimeNs: status.mtimeNs, size: status.size, ino: status.ino, isFile: status.isFile() };
}

/** With a fault in it nobody can tell which object is meant to be gone, so none goes until the file is whole again. */
function keepLastGood(before: ManifestDocuments, now: ManifestDocuments): ManifestDocuments {
  if (now.problems.length === 0) return now;
  const objects = new Map([...before.objects, ...now.objects].map((object) => [objectKey(object), object]));
  return { objects: [...objects.values()], problems: now.problems };
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}
