import type { Style } from '../style.ts';
import type { Check } from './check.ts';
import type { CheckResult } from './runner.ts';
import { hasSucceeded } from './runner.ts';

export type ReportFormat = 'table' | 'json' | 'short';

/** Where the documentation explains a check. */
export function documentationOf({ id }: Check): string {
  return `docs/checks.md#${id}`;
}

/** Writes results as they come, so that a person sees what is waited for. */
export class TableReport {
  readonly #write: (text: string) => void;
  readonly #style: Style;
  readonly #isShort: boolean;
  #category: string | undefined;

  constructor(write: (text: string) => void, style: Style, format: 'table' | 'short') {
    this.#write = write;
    this.#style = style;
    this.#isShort = format === 'short';
  }

  add(result: CheckResult): void {
    const { category, check, problem } = result;
    if (this.#isShort && problem === undefined) return;
    if (category !== this.#category) {
      this.#write(`${this.#category === undefined ? '' : '\n'}${category}\n${'-'.repeat(category.length)}\n`);
      this.#category = category;
    }
    this.#write(`${this.#mark(result.result)} ${check.description}\n`);
    if (problem === undefined) return;
    for (const line of [...problem.split('\n'), check.hint, `see ${documentationOf(check)} for hints`])
      this.#write(`    ${line}\n`);
  }

  end(results: readonly CheckResult[]): void {
    const gap = this.#category === undefined ? '' : '\n';
    this.#write(`${gap}Status check results are ${this.#mark(hasSucceeded(results) ? 'success' : 'error')}\n`);
  }

  #mark(result: CheckResult['result']): string {
    const { green, yellow, red } = this.#style;
    if (result === 'success') return green('√');
    return result === 'warning' ? yellow('‼') : red('×');
  }
}

export function jsonReport(results: readonly CheckResult[]): string {
  const categories = [...new Set(results.map(({ category }) => category))].map((categoryName) => ({
    categoryName,
    checks: results
      .filter(({ category }) => category === categoryName)
      .map(({ check, result, problem }) => ({
        id: check.id,
        description: check.description,
        ...(problem !== undefined && { hint: check.hint, documentation: documentationOf(check), error: problem }),
        result,
      })),
  }));
  return `${JSON.stringify({ success: hasSucceeded(results), categories }, undefined, 2)}\n`;
}
