import { randomBytes } from 'node:crypto';

import { WeftError } from '../../mesh/errors.ts';
import type { Trouble } from '../../mesh/trouble.ts';
import type { Workload } from '../../mesh/workload.ts';
import { microTime } from '../leadership/lease.ts';
import type { ApiClient } from '../sources/kubernetes/api-client.ts';
import { ApiFailure } from '../sources/kubernetes/api-client.ts';
import type { RetryTimes } from '../sources/kubernetes/retry-schedule.ts';
import { RetrySchedule } from '../sources/kubernetes/retry-schedule.ts';
import { podEvent } from './pod-event.ts';
import type { PodTrouble, Troubles } from './troubles.ts';
import { sleep } from '../../mesh/sleep.ts';
import { messageOf } from '../../mesh/message-of.ts';

export interface PodEventsOptions {
  readonly client: Pick<ApiClient, 'json'>;
  readonly troubles: Troubles;
  /** Who says it. */
  readonly instance: string;
  readonly workload: (uid: string) => Workload | undefined;
  /** Told once for as long as it stays the same. */
  readonly onProblem: (problem: WeftError) => void;
  readonly times?: EventTimes;
}

export interface EventTimes {
  /** What lasts shorter is not told, such as what an agent mends with its next attempt. */
  readonly settleMs: number;
  /** Between two tellings of the same trouble of the same pod. Less than an hour, after which servers forget Events. */
  readonly repeatMs: number;
  /** Between two requests. */
  readonly paceMs: number;
  readonly lookMs: number;
  readonly retry: RetryTimes;
}

export const clusterEventTimes: EventTimes = {
  settleMs: 5000,
  repeatMs: 5 * 60_000,
  paceMs: 100,
  lookMs: 5000,
  retry: { firstMs: 1000, maximumMs: 60_000 },
};

/** What was told of one trouble of one pod. */
interface Series {
  readonly since: number;
  /** The Event, once there is one. */
  name?: string;
  count: number;
  toldAt: number;
}

const requestMs = 10_000;
/** Of those beyond, an Event may be told more often. */
const maximumSeries = 10_000;

/** Says as Events of pods what agents cannot do for them. What lasts is said again every few minutes in the same Event, as a series. */
export class PodEvents {
  readonly #options: PodEventsOptions;
  readonly #times: EventTimes;
  /** By uid and code, those that were looked at last at the end. */
  readonly #series = new Map<string, Series>();
  #told = '';

  constructor(options: PodEventsOptions) {
    this.#options = options;
    this.#times = options.times ?? clusterEventTimes;
  }

  /** Until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    const { lookMs, paceMs, retry } = this.#times;
    const { troubles } = this.#options;
    const retries = new RetrySchedule(retry);
    const hasEnded = (): boolean => signal.aborted;
    while (!hasEnded()) {
      let failure: unknown;
      for (const told of troubles.all()) {
        const series = this.#seriesOf(told);
        const workload = this.#isDue(series) ? this.#subject(told) : undefined;
        if (workload === undefined || !troubles.has(told)) continue;
        try {
          await this.#tell(workload, told, series, signal);
          retries.succeeded();
          this.#told = '';
        } catch (error) {
          failure = error;
        }
        if (failure !== undefined || hasEnded()) break;
        await sleep(paceMs, signal);
      }
      if (hasEnded()) return;
      if (failure === undefined) await sleep(lookMs, signal);
      else await this.#pause(failure, retries, signal);
    }
  }

  #seriesOf({ uid, trouble }: PodTrouble): Series {
    const key = `${uid} ${trouble.code}`;
    const series = this.#series.get(key) ?? { since: performance.now(), count: 0, toldAt: -Infinity };
    this.#series.delete(key);
    this.#series.set(key, series);
    const [oldest] = this.#series.keys();
    if (this.#series.size > maximumSeries && oldest !== undefined) this.#series.delete(oldest);
    return series;
  }

  #isDue({ since, toldAt }: Series): boolean {
    const now = performance.now();
    return now - since >= this.#times.settleMs && now - toldAt >= this.#times.repeatMs;
  }

  /** An agent has a say about the pods of its own node that are to be in the mesh, and about no others. */
  #subject({ node, uid }: PodTrouble): Workload | undefined {
    const workload = this.#options.workload(uid);
    if (workload?.node !== node || !workload.wanted || workload.terminal || workload.deleting) return undefined;
    return workload;
  }

  async #tell(workload: Workload, { trouble }: PodTrouble, series: Series, signal: AbortSignal): Promise<void> {
    try {
      const isContinued = series.name !== undefined && (await this.#continue(workload, series.name, series, signal));
      if (!isContinued) await this.#begin(workload, trouble, series, signal);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      series.toldAt = performance.now(); // so that it holds up no others
      if (error.status === 403 && !isGoing(error)) throw error;
    }
  }

  async #begin(
    { namespace, name, uid }: Workload,
    trouble: Trouble,
    series: Series,
    signal: AbortSignal,
  ): Promise<void> {
    const { client, instance } = this.#options;
    const place = { instance, suffix: randomBytes(8).toString('hex'), now: Date.now() };
    const body = podEvent({ namespace, name, uid }, trouble, place);
    await client.json({ method: 'POST', path: collectionOf(namespace), body }, signal, requestMs);
    series.name = body.metadata.name;
    series.count = 1;
    series.toldAt = performance.now();
  }

  /** @returns false where there is no such Event any more, as servers forget them */
  async #continue({ namespace }: Workload, name: string, series: Series, signal: AbortSignal): Promise<boolean> {
    const body = { series: { count: series.count + 1, lastObservedTime: microTime(Date.now()) } };
    const path = `${collectionOf(namespace)}/${name}`;
    const contentType = 'application/merge-patch+json';
    try {
      await this.#options.client.json({ method: 'PATCH', path, body, contentType }, signal, requestMs);
    } catch (error) {
      if (error instanceof ApiFailure && error.status === 404) return false;
      throw error;
    }
    series.count++;
    series.toldAt = performance.now();
    return true;
  }

  async #pause(cause: unknown, retries: RetrySchedule, signal: AbortSignal): Promise<void> {
    const reason = messageOf(cause);
    if (reason !== this.#told)
      this.#options.onProblem(new WeftError('WEFT-E124', `Events cannot be written: ${reason}`, { cause }));
    this.#told = reason;
    await sleep(retries.next(cause instanceof ApiFailure ? cause.retryAfterMs : 0), signal);
  }
}

function collectionOf(namespace: string): string {
  return `/apis/events.k8s.io/v1/namespaces/${namespace}/events`;
}

/** Of this one Event: trying it again would not help. */
function isRefusal(error: unknown): error is ApiFailure {
  return error instanceof ApiFailure && error.status >= 400 && error.status < 500 && ![401, 429].includes(error.status);
}

/** A namespace that is being deleted takes nothing new, which servers tell as a missing right. */
function isGoing({ text }: ApiFailure): boolean {
  return text.includes('NamespaceTerminating');
}
