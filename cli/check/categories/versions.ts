import { version } from '../../../mesh/version.ts';
import type { Report } from '../../cluster/facts.ts';
import { valuesOf } from '../../cluster/facts.ts';
import type { Category } from '../check.ts';
import { reportCheck } from './reports.ts';

/** @param expected what all should be; the version of this command where it is not given */
export function versions(expected = version): Category {
  return {
    id: 'weft-version',
    checks: [
      {
        id: 'weft-version-cli',
        description: 'cli is of the expected version',
        severity: 'warning',
        hint: 'Use the command of the version that is expected.',
        run: () => Promise.resolve(version === expected ? undefined : `is version ${version}, expected ${expected}`),
      },
      versionCheck('controllers', 'weft-version-control', 'control plane and cli versions match', expected),
      versionCheck('agents', 'weft-version-agents', 'agents and cli versions match', expected),
    ],
  };
}

function versionCheck(asked: 'controllers' | 'agents', id: string, description: string, expected: string) {
  return reportCheck(asked, {
    id,
    description,
    severity: 'warning',
    hint: 'Run `weft upgrade` if the command is newer, or use the command of the version that is installed.',
    problems: (report) => {
      const found = versionOf(report);
      if (found === undefined) return ['it does not tell its version'];
      return found === expected ? [] : [`is version ${found}, expected ${expected}`];
    },
  });
}

export function versionOf(report: Report): string | undefined {
  return valuesOf(report, 'weft_build_info')[0]?.labels['version'];
}
