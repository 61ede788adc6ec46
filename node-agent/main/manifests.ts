import { watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { WeftError } from '../errors.ts';
import type { ManifestDocuments } from './manifest-documents.ts';
import { readDocuments } from './manifest-documents.ts';
import type { ObjectSnapshot, ObjectSource, SourceNamespace, SourcePod } from './object-source.ts';

const settleMs = 10; // an editor writes a file in several steps
const rescanMs = 1000; // inotify loses a folder that is removed and made anew
const maximumFileBytes = 16 * 1024 * 1024;

interface FileState {
  readonly stamp: string;
  readonly documents: ManifestDocuments;
}

/** Objects from a folder of YAML files. What a file said last stays in force while it cannot be read. */
export class ManifestSource implements ObjectSource {
  readonly #folder: string;
  readonly #listeners: (() => void)[] = [];
  readonly #files = new Map<string, FileState>();
  #snapshot: ObjectSnapshot = { namespaces: new Map(), pods: new Map() };
  #folderProblem: WeftError | undefined;
  #watcher: FSWatcher | undefined;
  #scanning: Promise<void> = Promise.resolve();
  #settling: NodeJS.Timeout | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async start(signal: AbortSignal): Promise<void> {
    const rescan = setInterval(() => {
      this.#scanSoon();
    }, rescanMs);
    signal.addEventListener('abort', () => {
      clearInterval(rescan);
      clearTimeout(this.#settling);
      this.#watcher?.close();
    });
    await this.#scan();
  }

  snapshot(): ObjectSnapshot {
    return this.#snapshot;
  }

  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  problems(): readonly WeftError[] {
    const inFiles = [...this.#files.values()].flatMap((file) => file.documents.problems);
    return this.#folderProblem ? [this.#folderProblem, ...inFiles] : inFiles;
  }

  #scanSoon(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      this.#scanning = this.#scanning.then(() => this.#scan());
    }, settleMs);
  }

  async #scan(): Promise<void> {
    this.#watch();
    let names: string[];
    try {
      names = (await readdir(this.#folder)).filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).sort();
      this.#folderProblem = undefined;
    } catch (cause) {
      this.#folderProblem = new WeftError('WEFT-E108', `${this.#folder} cannot be listed`, { cause });
      return;
    }
    let changed = false;
    for (const name of this.#files.keys()) {
      if (!names.includes(name)) changed = this.#files.delete(name) || changed;
    }
    for (const name of names) changed = (await this.#readFile(name)) || changed;
    if (changed) this.#publish();
  }

  async #readFile(name: string): Promise<boolean> {
    const path = join(this.#folder, name);
    const before = this.#files.get(name);
    try {
      const { mtimeMs, size, ino } = await stat(path);
      const stamp = `${ino} ${mtimeMs} ${size}`;
      if (before?.stamp === stamp) return false;
      if (size > maximumFileBytes) throw new Error(`it is larger than ${maximumFileBytes} bytes`);
      const documents = readDocuments(path, await readFile(path, 'utf8'));
      this.#files.set(name, { stamp, documents: before ? keepLastGood(before.documents, documents) : documents });
      return true;
    } catch (cause) {
      const problem = new WeftError('WEFT-E108', `${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`);
      const documents = before?.documents ?? { namespaces: [], pods: [] };
      this.#files.set(name, { stamp: '', documents: { ...documents, problems: [problem] } });
      return before?.stamp !== '';
    }
  }

  #publish(): void {
    const namespaces = new Map<string, SourceNamespace>();
    const pods = new Map<string, SourcePod>();
    for (const { documents } of this.#files.values()) {
      for (const namespace of documents.namespaces) namespaces.set(namespace.name, namespace);
      for (const pod of documents.pods) pods.set(pod.uid, pod);
    }
    this.#snapshot = { namespaces, pods };
    for (const listener of this.#listeners) listener();
  }

  #watch(): void {
    if (this.#watcher !== undefined) return;
    try {
      this.#watcher = watch(this.#folder, (event, name) => {
        if (event === 'rename' && name === null) this.#unwatch();
        this.#scanSoon();
      });
      this.#watcher.on('error', () => {
        this.#unwatch();
      });
    } catch {
      // The folder is missing: the rescan tries again.
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }
}

/** With a fault in it nobody can tell which object is meant to be gone, so none goes until the file is whole again. */
function keepLastGood(before: ManifestDocuments, now: ManifestDocuments): ManifestDocuments {
  if (now.problems.length === 0) return now;
  const namespaces = new Map([...before.namespaces, ...now.namespaces].map((namespace) => [namespace.name, namespace]));
  const pods = new Map([...before.pods, ...now.pods].map((pod) => [pod.uid, pod]));
  return { namespaces: [...namespaces.values()], pods: [...pods.values()], problems: now.problems };
}
