import { isDeepStrictEqual } from 'node:util';

import { WeftError } from '../../../mesh/errors.ts';
import type { SourceKind, SourceObject } from '../../../mesh/objects.ts';
import { objectKey } from '../../../mesh/objects.ts';
import type { Fields } from '../fields.ts';
import { fields } from '../fields.ts';
import { readObject } from '../object-reader.ts';
import type { Delta } from '../source.ts';
import { messageOf } from '../../../mesh/message-of.ts';

interface Entry {
  readonly uid: string;
  readonly revision: string;
  /** What it said when it could be read last. */
  readonly object: SourceObject | undefined;
  readonly problem: WeftError | undefined;
}

/** By namespace and name. */
export type ObjectReading = Map<string, Entry>;

/** The objects of one kind, as little of each as the mesh reads, and what each change of the server's objects changes in them. */
export class ObjectStore {
  readonly #kind: SourceKind;
  readonly #entries = new Map<string, Entry>();
  readonly #problems = new Map<string, WeftError>();

  constructor(kind: SourceKind) {
    this.#kind = kind;
  }

  get size(): number {
    return this.#entries.size;
  }

  problems(): WeftError[] {
    return [...this.#problems.values()];
  }

  put(raw: unknown): Delta[] {
    const { key, entry } = this.#read(raw);
    return this.#replace(key, entry);
  }

  delete(raw: unknown): Delta[] {
    const { key, uid } = placeOf(raw);
    const before = this.#entries.get(key);
    if (before === undefined || before.uid !== uid) return []; // an earlier one of that name
    return this.#remove(key, before);
  }

  /** What `reading` gives is everything that exists. */
  reconcile(reading: ObjectReading): Delta[] {
    const deltas: Delta[] = [];
    for (const [key, entry] of this.#entries) if (!reading.has(key)) deltas.push(...this.#remove(key, entry));
    for (const [key, entry] of reading) deltas.push(...this.#replace(key, entry));
    return deltas;
  }

  /** Reads one page of a list, so that no more than a page is in memory as the server sends it. */
  read(items: readonly unknown[], into: ObjectReading): void {
    for (const item of items) {
      const { key, entry } = this.#read(item);
      into.set(key, entry);
    }
  }

  #read(raw: unknown): { key: string; entry: Entry } {
    const { key, uid, revision } = placeOf(raw);
    const before = this.#entries.get(key);
    if (before?.uid === uid && before.revision === revision) return { key, entry: before };
    try {
      const object = readObject({ ...(raw as Fields), kind: this.#kind });
      return { key, entry: { uid, revision, object, problem: undefined } };
    } catch (error) {
      const reason = messageOf(error);
      const problem = new WeftError('WEFT-E120', `${this.#kind} ${key}: ${reason}`);
      return { key, entry: { uid, revision, object: before?.uid === uid ? before.object : undefined, problem } };
    }
  }

  #remove(key: string, { object }: Entry): Delta[] {
    this.#entries.delete(key);
    this.#problems.delete(key);
    return object ? [{ type: 'delete', object }] : [];
  }

  #replace(key: string, entry: Entry): Delta[] {
    const before = this.#entries.get(key);
    if (before === entry) return [];
    if (entry.problem === undefined) this.#problems.delete(key);
    else this.#problems.set(key, entry.problem);
    const gone = before?.object;
    const { object } = entry;
    if (gone !== undefined && object !== undefined && isDeepStrictEqual(gone, object)) {
      this.#entries.set(key, { ...entry, object: gone });
      return [];
    }
    this.#entries.set(key, entry);
    const deltas: Delta[] = [];
    const isSuccessor = gone !== undefined && (object === undefined || objectKey(gone) !== objectKey(object));
    if (isSuccessor) deltas.push({ type: 'delete', object: gone });
    if (object !== undefined) deltas.push({ type: 'upsert', object });
    return deltas;
  }
}

/** @throws FieldError where it is no object at all: what says so is not an API server */
function placeOf(raw: unknown): { key: string; uid: string; revision: string } {
  const { namespace, name, uid, resourceVersion } = fields(fields(raw, 'the object')['metadata'], 'metadata');
  const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
  const key = textOf(namespace) === '' ? textOf(name) : `${textOf(namespace)}/${textOf(name)}`;
  return { key, uid: textOf(uid), revision: textOf(resourceVersion) };
}
