import type { Facts } from '../cluster/facts.ts';

/**
 * What a failure means: `fatal` ends the whole run, as nothing after it can be known; `error` fails it; `warning` does not.
 */
export type Severity = 'fatal' | 'error' | 'warning';

export interface Check {
  /** Section of docs/checks.md. An interface: it never changes its meaning. */
  readonly id: string;
  /** What is true when the check is green. */
  readonly description: string;
  readonly severity: Severity;
  /** What to look at next. */
  readonly hint: string;
  /** May become green by waiting, as something is still starting. */
  readonly isRetried?: boolean;
  /** Resolves to what is wrong, undefined where nothing is. What it throws is wrong as well. */
  run(facts: Facts, signal: AbortSignal): Promise<string | undefined>;
}

export interface Category {
  readonly id: string;
  readonly checks: readonly Check[];
}

/** For what is wrong with several things, of which a person reads the first few. */
export function listed(problems: readonly string[]): string | undefined {
  const shown = 5;
  if (problems.length === 0) return undefined;
  const more = problems.length > shown ? [`and ${problems.length - shown} more`] : [];
  return [...problems.slice(0, shown), ...more].join('\n');
}
