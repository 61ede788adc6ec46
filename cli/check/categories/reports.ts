import type { Facts, Report, Reports } from '../../cluster/facts.ts';
import { nameOf } from '../../cluster/objects.ts';
import type { Check } from '../check.ts';
import { listed } from '../check.ts';

type Asked = 'controllers' | 'agents';

/** Green if at least one was asked and none says otherwise. Those that do not answer are the matter of `answersCheck`. */
export function reportCheck(
  asked: Asked,
  check: Omit<Check, 'run'> & {
    /** What is wrong with one. */
    readonly problems: (report: Report, now: number) => readonly string[];
  },
): Check {
  const { problems, ...rest } = check;
  return {
    ...rest,
    run: async (facts, signal) => {
      const { told } = await ask(facts, asked, signal);
      if (told.length === 0) return `no ${one(asked)} could be asked`;
      const now = await facts.cluster.now(signal);
      return listed(told.flatMap((report) => problems(report, now).map((problem) => `${placeOf(report)}: ${problem}`)));
    },
  };
}

/** That all can be asked. */
export function answersCheck(asked: Asked, id: string): Check {
  return {
    id,
    description: `${asked} tell how they are`,
    severity: 'error',
    isRetried: true,
    hint: 'You need the rights to get and create pods/portforward in the namespace of Weft; look at the pod, too.',
    run: async (facts, signal) => {
      const { told, silent } = await ask(facts, asked, signal);
      if (told.length + silent.length === 0) return `no ${one(asked)} runs`;
      return listed(silent.map(({ error }) => `${error.code} ${error.message}`));
    },
  };
}

/** That each says it is ready. */
export function readyCheck(asked: Asked, id: string): Check {
  return reportCheck(asked, {
    id,
    description: `${asked} can do their work`,
    severity: 'error',
    isRetried: true,
    hint: 'The reason begins with a code where docs/errors.md has more; the log of the pod says what came before.',
    problems: ({ reasons }) => reasons,
  });
}

/** Agents are known by their nodes. */
export function placeOf({ pod }: Report): string {
  return pod.spec?.hostNetwork === true && pod.spec.nodeName !== undefined ? pod.spec.nodeName : nameOf(pod);
}

function ask(facts: Facts, asked: Asked, signal: AbortSignal): Promise<Reports> {
  return asked === 'controllers' ? facts.controllers(signal) : facts.agents(signal);
}

function one(asked: Asked): string {
  return asked.slice(0, -1);
}
