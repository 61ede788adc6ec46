import { WeftError } from '../../mesh/errors.ts';
import { startupTaint } from '../../mesh/startup-taint.ts';
import { Wakeup } from '../../mesh/wakeup.ts';
import type { ApiClient } from '../sources/kubernetes/api-client.ts';
import { ApiFailure } from '../sources/kubernetes/api-client.ts';
import type { RetryTimes } from '../sources/kubernetes/retry-schedule.ts';
import { RetrySchedule } from '../sources/kubernetes/retry-schedule.ts';
import type { Delta } from '../sources/source.ts';
import type { AgentPods } from './startup-taints.ts';
import { StartupTaints } from './startup-taints.ts';
import { sleep } from '../../mesh/sleep.ts';

export interface TaintLifterOptions {
  readonly client: Pick<ApiClient, 'json'>;
  readonly agents: AgentPods;
  readonly onLifted: (node: string) => void;
  /** Told once for as long as it stays the same. */
  readonly onProblem: (problem: WeftError) => void;
  readonly retry?: RetryTimes;
}

const requestMs = 10_000;
const idleMs = 60_000;
const clusterRetry: RetryTimes = { firstMs: 500, maximumMs: 30_000 };

/** Takes the start-up taint from nodes whose agent is ready. It never puts it there: pods of a node whose agent fails later stay. */
export class TaintLifter {
  readonly #options: TaintLifterOptions;
  readonly #taints: StartupTaints;
  readonly #wakeup = new Wakeup();
  #told: ReadonlySet<string> = new Set();

  constructor(options: TaintLifterOptions) {
    this.#options = options;
    this.#taints = new StartupTaints(options.agents);
  }

  /** Of nodes and pods; also while it does not run. */
  readonly apply = (deltas: readonly Delta[]): void => {
    if (this.#taints.apply(deltas)) this.#wakeup.call();
  };

  /** Until the signal; to be run once at a time. */
  async run(signal: AbortSignal): Promise<void> {
    const retries = new RetrySchedule(this.#options.retry ?? clusterRetry);
    const hasEnded = (): boolean => signal.aborted;
    while (!hasEnded()) {
      const failures: Error[] = [];
      const problems = new Map<string, WeftError>();
      for (const [node, places] of this.#taints.liftable()) {
        const failure = await this.#lift(node, places, signal);
        if (hasEnded()) return;
        if (failure === undefined) continue;
        failures.push(failure);
        // What the source says of that node is old: news is on its way.
        if (failure instanceof ApiFailure && failure.status === 422) continue;
        const problem = new WeftError('WEFT-E123', `Node ${node}: ${failure.message}`, { cause: failure });
        problems.set(problem.message, problem);
      }
      this.#tell(problems);
      if (failures.length === 0) {
        retries.succeeded();
        await this.#wakeup.wait(signal, idleMs);
      } else {
        const retryAfterMs = Math.max(...failures.map((one) => (one instanceof ApiFailure ? one.retryAfterMs : 0)));
        await sleep(retries.next(retryAfterMs), signal);
      }
    }
  }

  async #lift(node: string, places: readonly number[], signal: AbortSignal): Promise<Error | undefined> {
    // From the last on, as each removal moves those behind it. Who has changed what is there in the meantime makes the whole of it fail,
    // and what others have added stays.
    const body = [...places].reverse().flatMap((place) => [
      { op: 'test', path: `/spec/taints/${place}/key`, value: startupTaint },
      { op: 'remove', path: `/spec/taints/${place}` },
    ]);
    const path = `/api/v1/nodes/${encodeURIComponent(node)}`;
    const { client, onLifted } = this.#options;
    try {
      await client.json({ method: 'PATCH', path, body, contentType: 'application/json-patch+json' }, signal, requestMs);
      onLifted(node);
    } catch (error) {
      const isGone = error instanceof ApiFailure && error.status === 404;
      if (!isGone) return error instanceof Error ? error : new Error(String(error));
    }
    this.#taints.forget(node);
    return undefined;
  }

  #tell(problems: ReadonlyMap<string, WeftError>): void {
    for (const [message, problem] of problems) if (!this.#told.has(message)) this.#options.onProblem(problem);
    this.#told = new Set(problems.keys());
  }
}
