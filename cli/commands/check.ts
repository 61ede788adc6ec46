import { parseDuration } from '../../mesh/duration.ts';
import { WeftError } from '../../mesh/errors.ts';
import { installed, preInstallation } from '../check/categories/all.ts';
import type { ReportFormat } from '../check/report.ts';
import { TableReport, jsonReport } from '../check/report.ts';
import type { CheckResult } from '../check/runner.ts';
import { hasSucceeded, runChecks } from '../check/runner.ts';
import { clusterFlags, withFacts } from '../cluster-flags.ts';
import { defineCommand } from '../command.ts';
import { styleOf } from '../style.ts';
import type { Surroundings } from '../surroundings.ts';

export const check = defineCommand({
  name: 'check',
  summary: 'Check an installation, or with --pre whether a cluster is ready for one',
  flags: {
    pre: { help: 'only what is needed before an installation' },
    wait: { value: 'TIME', fallback: '5m', help: 'how long to try again what may still be starting, 0 not at all' },
    output: {
      short: 'o',
      value: 'FORMAT',
      fallback: 'table',
      choices: ['table', 'json', 'short'],
      help: 'short tells of failures only',
    },
    'expected-version': { value: 'VERSION', help: 'of all parts, where it is not that of this command' },
    ...clusterFlags,
  },
  examples: ['weft check --pre', 'weft check', 'weft check -o short --wait 0'],
  run: async ({ flags, surroundings }) => {
    const { pre, wait } = flags;
    const categories = pre ? preInstallation : installed(flags['expected-version']);
    const waitMs = readWait(wait);
    const report = reporter(flags.output as ReportFormat, surroundings);
    const results = await withFacts(flags, surroundings, (facts) =>
      runChecks(categories, facts, {
        waitMs,
        signal: surroundings.signal,
        onResult: report.add,
        onWait: ({ description }, problem) => report.wait(`${description}: ${problem.split('\n')[0] ?? ''}`),
      }),
    );
    report.end(results);
    return hasSucceeded(results) ? 0 : 1;
  },
});

function readWait(text: string): number {
  try {
    return parseDuration(text);
  } catch (error) {
    if (error instanceof RangeError) throw new WeftError('WEFT-E401', `check: --wait: ${error.message}`);
    throw error;
  }
}

interface Reporter {
  readonly add: (result: CheckResult) => void;
  readonly wait: (text: string) => void;
  readonly end: (results: readonly CheckResult[]) => void;
}

const clearLine = '\r\u001b[K';

/** What is waited for is shown in a line that goes again, to a person only. */
function reporter(format: ReportFormat, surroundings: Surroundings): Reporter {
  const { out, err } = surroundings;
  if (format === 'json')
    return { add: () => undefined, wait: () => undefined, end: (results) => out.write(jsonReport(results)) };
  const table = new TableReport((text) => out.write(text), styleOf(surroundings), format);
  let isWaiting = false;
  const clear = (): void => {
    if (isWaiting) err.write(clearLine);
    isWaiting = false;
  };
  return {
    add: (result) => {
      clear();
      table.add(result);
    },
    wait: (text) => {
      if (!err.isTerminal) return;
      clear();
      err.write(`… ${text.slice(0, 100)}`);
      isWaiting = true;
    },
    end: (results) => table.end(results),
  };
}
