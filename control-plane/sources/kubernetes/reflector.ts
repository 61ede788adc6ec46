import { WeftError } from '../../../mesh/errors.ts';
import type { Fields } from '../fields.ts';
import { fields, list, text } from '../fields.ts';
import type { Delta } from '../source.ts';
import type { ApiClient } from './api-client.ts';
import { ApiFailure } from './api-client.ts';
import type { ObjectReading } from './object-store.ts';
import { ObjectStore } from './object-store.ts';
import type { ReflectorTimes } from './reflector-times.ts';
import { clusterTimes } from './reflector-times.ts';
import type { ResourceKind } from './resource-kinds.ts';
import { RetrySchedule } from './retry-schedule.ts';
import { watchEvents } from './watch-events.ts';
import { sleep } from '../../../mesh/sleep.ts';
import { messageOf } from '../../../mesh/message-of.ts';

export type RelistReason = 'start' | 'expired' | 'ahead' | 'absent';

export interface ReflectorOptions {
  readonly client: ApiClient;
  readonly resource: ResourceKind;
  /** Told of each once, for as long as it stays the same. */
  readonly onProblem: (problem: WeftError) => void;
  readonly times?: ReflectorTimes;
  readonly random?: () => number;
}

const pageSize = 500;
const anyRevision = '0'; // whatever the server has in its cache
const newestRevision = '';

/** Keeps up with all objects of one kind of an API server: lists them, watches them from there on, and lists anew where a watch cannot go on. */
export class Reflector {
  readonly lists = new Map<RelistReason, number>();
  readonly #options: ReflectorOptions;
  readonly #times: ReflectorTimes;
  readonly #random: () => number;
  readonly #retries: RetrySchedule;
  readonly #store: ObjectStore;
  /** Why the next thing is a list; undefined where a watch can go on. */
  #listReason: RelistReason | undefined = 'start';
  #listFrom = anyRevision;
  #revision = anyRevision;
  #isSynced = false;
  /** Since the last watch that lived. */
  #hasExpired = false;
  #lastHeard = 0;
  #problem: WeftError | undefined;
  #told: ReadonlySet<string> = new Set();

  constructor(options: ReflectorOptions) {
    this.#options = options;
    this.#times = options.times ?? clusterTimes;
    this.#random = options.random ?? Math.random;
    this.#retries = new RetrySchedule(this.#times.retry, this.#random);
    this.#store = new ObjectStore(options.resource.kind);
  }

  get resource(): ResourceKind {
    return this.#options.resource;
  }

  get objects(): number {
    return this.#store.size;
  }

  /** When the server said something last, bookmarks included; 0 where it never did. */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  problems(): WeftError[] {
    const inObjects = this.#store.problems();
    return this.#problem ? [this.#problem, ...inObjects] : inObjects;
  }

  /** The first is everything that exists; whatever the server does, it goes on until the signal ends it. */
  async *changes(signal: AbortSignal): AsyncGenerator<readonly Delta[]> {
    const hasEnded = (): boolean => signal.aborted;
    while (!hasEnded()) {
      let watchedSince = Infinity;
      try {
        if (this.#listReason !== undefined) yield await this.#list(this.#listReason, signal);
        watchedSince = performance.now();
        yield* this.#watch(signal);
        if (performance.now() - watchedSince >= this.#times.shortWatchMs) {
          this.#hasSucceeded();
          continue;
        }
        await this.#pause('watched', new Error('a watch ended as soon as it had begun'), signal);
      } catch (error) {
        if (hasEnded()) return;
        if (performance.now() - watchedSince >= this.#times.shortWatchMs) this.#hasSucceeded();
        if (this.#isAbsent(error)) {
          yield this.#forgetAll();
          await sleep(this.#times.absentMs * (0.5 + this.#random() / 2), signal);
          continue;
        }
        const doing = watchedSince === Infinity ? 'listed' : 'watched'; // before it is decided anew
        const isExpired = this.#listAnewAfter(error);
        // Mended at once, also by a server that is just back; in a row it is a fault as any other.
        if (!isExpired || this.#hasExpired) await this.#pause(doing, error, signal);
        this.#hasExpired ||= isExpired;
      }
    }
  }

  async #list(reason: RelistReason, signal: AbortSignal): Promise<readonly Delta[]> {
    const reading: ObjectReading = new Map();
    let next = '';
    let revision = '';
    do {
      const page = await this.#page(next, signal);
      this.#store.read(list(page['items'], 'items'), reading);
      const metadata = fields(page['metadata'], 'metadata');
      revision = text(metadata['resourceVersion'], 'metadata.resourceVersion');
      next = text(metadata['continue'] ?? '', 'metadata.continue');
    } while (next !== '');
    this.lists.set(reason, (this.lists.get(reason) ?? 0) + 1);
    this.#listReason = undefined;
    this.#revision = revision;
    this.#isSynced = true;
    this.#heard();
    const deltas = this.#store.reconcile(reading);
    this.#tellOfObjects();
    return deltas;
  }

  async #page(next: string, signal: AbortSignal): Promise<Fields> {
    const query = new URLSearchParams({ limit: `${pageSize}` });
    if (next !== '') {
      query.set('continue', next); // says by itself of which revision
    } else if (this.#listFrom !== newestRevision) {
      query.set('resourceVersion', this.#listFrom);
      query.set('resourceVersionMatch', 'NotOlderThan'); // never back to before what was told already
    }
    const path = `${this.#options.resource.path}?${query.toString()}`;
    return fields(await this.#options.client.json({ path }, signal, this.#times.listMs), 'the list');
  }

  async *#watch(signal: AbortSignal): AsyncGenerator<readonly Delta[]> {
    const { watchSeconds, idleMs, graceMs } = this.#times;
    const seconds = Math.ceil(watchSeconds * (1 + this.#random()));
    const end = new AbortController();
    const abort = (why: string) => () => end.abort(new Error(why));
    const timers = [
      setTimeout(abort('the watch outlived its time'), seconds * 1000 + graceMs),
      setTimeout(abort('the watch fell silent'), idleMs),
    ];
    const query = new URLSearchParams({
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: this.#revision,
      timeoutSeconds: `${seconds}`,
    });
    const path = `${this.#options.resource.path}?${query.toString()}`;
    try {
      const body = await this.#options.client.stream({ path }, AbortSignal.any([signal, end.signal]));
      this.#heard();
      const onBytes = (): void => {
        timers[1]?.refresh();
      };
      for await (const events of watchEvents(body, onBytes)) {
        const deltas = events.flatMap(({ type, object, revision }) => {
          this.#revision = revision;
          if (type === 'BOOKMARK') return [];
          return type === 'DELETED' ? this.#store.delete(object) : this.#store.put(object);
        });
        this.#heard();
        this.#tellOfObjects();
        if (deltas.length > 0) yield deltas;
      }
    } finally {
      timers.forEach(clearTimeout);
      end.abort();
    }
  }

  #hasSucceeded(): void {
    this.#retries.succeeded();
    this.#hasExpired = false;
  }

  #heard(): void {
    this.#lastHeard = Date.now();
    this.#problem = undefined;
  }

  /** @returns whether it only means that a watch, or a list of that revision, cannot go on */
  #listAnewAfter(error: unknown): boolean {
    if (!(error instanceof ApiFailure)) return false;
    const isListing = this.#listReason !== undefined;
    if (error.status === 410) {
      this.#listFrom = isListing ? newestRevision : this.#revision;
      this.#listReason ??= 'expired';
      return true;
    }
    // After a restore from a backup the server counts from an earlier number on, and waits in vain for the later one.
    if (error.status === 504 || error.status === 400 || error.status === 422) {
      this.#listFrom = newestRevision;
      this.#listReason ??= 'ahead';
    }
    return false;
  }

  #isAbsent(error: unknown): boolean {
    return this.#options.resource.optional === true && error instanceof ApiFailure && error.status === 404;
  }

  #forgetAll(): readonly Delta[] {
    this.#listReason = 'absent';
    this.#listFrom = newestRevision;
    this.#isSynced = true;
    this.#problem = undefined;
    return this.#store.reconcile(new Map());
  }

  async #pause(doing: string, error: unknown, signal: AbortSignal): Promise<void> {
    const retryAfterMs = error instanceof ApiFailure ? error.retryAfterMs : 0;
    // One interruption is ordinary: a server that restarts, a load balancer that has had enough.
    if (this.#retries.failures > 0 || !this.#isSynced) this.#fail(doing, error);
    await sleep(this.#retries.next(retryAfterMs), signal);
  }

  #fail(doing: string, error: unknown): void {
    const { kind } = this.#options.resource;
    const reason = messageOf(error);
    const problem = new WeftError('WEFT-E121', `${kind}: cannot be ${doing}: ${reason}`, { cause: error });
    const isNews = this.#problem?.message !== problem.message;
    this.#problem = problem;
    if (isNews) this.#options.onProblem(problem);
  }

  #tellOfObjects(): void {
    const problems = this.#store.problems();
    for (const problem of problems) if (!this.#told.has(problem.message)) this.#options.onProblem(problem);
    this.#told = new Set(problems.map(({ message }) => message));
  }
}
