import { setTimeout as sleep } from 'node:timers/promises';

import { WeftError } from '../../mesh/errors.ts';
import type { Facts } from '../cluster/facts.ts';
import type { Category, Check } from './check.ts';

export interface CheckResult {
  readonly category: string;
  readonly check: Check;
  readonly result: 'success' | 'warning' | 'error';
  /** What is wrong. */
  readonly problem?: string;
}

export interface RunOptions {
  /** How long checks are tried again, all together. */
  readonly waitMs: number;
  readonly retryMs?: number;
  readonly signal: AbortSignal;
  /** A check is over. */
  readonly onResult?: (result: CheckResult) => void;
  /** A check failed and is tried again. */
  readonly onWait?: (check: Check, problem: string) => void;
}

const retryMs = 2000;
const attemptMs = 60_000;

export async function runChecks(
  categories: readonly Category[],
  facts: Facts,
  options: RunOptions,
): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const deadline = Date.now() + options.waitMs;
  for (const { id: category, checks } of categories) {
    for (const check of checks) {
      const problem = await runOne(check, facts, deadline, options);
      const result: CheckResult = {
        category,
        check,
        result: problem === undefined ? 'success' : check.severity === 'warning' ? 'warning' : 'error',
        ...(problem !== undefined && { problem }),
      };
      results.push(result);
      options.onResult?.(result);
      if (problem !== undefined && check.severity === 'fatal') return results;
    }
  }
  return results;
}

export function hasSucceeded(results: readonly CheckResult[]): boolean {
  return results.every(({ result }) => result !== 'error');
}

async function runOne(check: Check, facts: Facts, deadline: number, options: RunOptions): Promise<string | undefined> {
  const pauseMs = options.retryMs ?? retryMs;
  for (;;) {
    const problem = await attempt(check, facts, options.signal);
    options.signal.throwIfAborted();
    if (problem === undefined) return undefined;
    if (check.isRetried !== true || Date.now() + pauseMs > deadline) return problem;
    options.onWait?.(check, problem);
    await sleep(pauseMs, undefined, { signal: options.signal });
    facts.forget();
  }
}

async function attempt(check: Check, facts: Facts, signal: AbortSignal): Promise<string | undefined> {
  try {
    return await check.run(facts, AbortSignal.any([signal, AbortSignal.timeout(attemptMs)]));
  } catch (error) {
    if (error instanceof WeftError) return `${error.code} ${error.message}`;
    throw error;
  }
}
