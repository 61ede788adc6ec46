import type { Facts } from '../../cluster/facts.ts';
import { valueOf, valuesOf } from '../../cluster/facts.ts';
import { controller } from '../../installation.ts';
import type { Category } from '../check.ts';
import { answersCheck, placeOf, readyCheck, reportCheck } from './reports.ts';

/** Bookmarks come about once a minute even where nothing changes. */
const silentAfterMs = 5 * 60_000;
const daySeconds = 86_400;
const warnDays = 60;

/** What controllers say of themselves. */
export const controlPlane: Category = {
  id: 'weft-control-plane',
  checks: [
    answersCheck('controllers', 'weft-controller-answers'),
    readyCheck('controllers', 'weft-controller-works'),
    reportCheck('controllers', {
      id: 'weft-controller-hears-api',
      description: 'controllers hear of changes from the API server',
      severity: 'error',
      isRetried: true,
      hint: 'Look for WEFT-E121 in the log of the controller, which names the kind and the reason.',
      problems: (report, now) => {
        const kinds = valuesOf(report, 'weft_source_heard_timestamp_seconds');
        if (kinds.length === 0) return ['it does not tell what it hears'];
        return kinds
          .filter(({ value }) => !(now - value * 1000 < silentAfterMs))
          .map(({ labels, value }) => `nothing of ${labels['kind'] ?? '?'} since ${timeText(value)}`);
      },
    }),
    {
      id: 'weft-controller-leader',
      description: 'one controller leads',
      severity: 'error',
      isRetried: true,
      hint: `Look for WEFT-E122 in the log of the controllers, and at \`kubectl describe lease ${controller.name}\`.`,
      run: leaderProblem,
    },
  ],
};

export const identity: Category = {
  id: 'weft-identity',
  checks: [
    reportCheck('controllers', {
      id: 'weft-issuer-is-time-valid',
      description: 'issuer and trust anchor are within their validity period',
      severity: 'error',
      hint: 'Replace the issuer; nothing is signed until then. It is taken without a restart.',
      problems: (report) => {
        const left = valueOf(report, 'issuer_cert_ttl_seconds');
        if (left === undefined) return ['it does not tell when its issuer ends'];
        return left > 0 ? [] : [`expired ${Math.ceil(-left / daySeconds)} days ago`];
      },
    }),
    reportCheck('controllers', {
      id: 'weft-issuer-not-expiring-soon',
      description: `issuer and trust anchor are valid for at least ${warnDays} days`,
      severity: 'warning',
      hint: 'Replace the issuer in time; two trust anchors can be in force at once.',
      problems: (report) => {
        const left = valueOf(report, 'issuer_cert_ttl_seconds');
        if (left === undefined) return ['it does not tell when its issuer ends'];
        return left >= warnDays * daySeconds ? [] : [`ends in ${Math.floor(left / daySeconds)} days`];
      },
    }),
    reportCheck('agents', {
      id: 'weft-identity-certificates',
      description: 'certificates of pods are within their validity period',
      severity: 'error',
      isRetried: true,
      hint: "Look in the agent's log why they are not renewed: WEFT-E221 and WEFT-E223, and what the controller says of them.",
      problems: (report, now) =>
        valuesOf(report, 'control_identity_cert_expiration_timestamp_seconds')
          .filter(({ value }) => !(value * 1000 > now))
          .map(({ labels, value }) => `${labels['identity'] ?? '?'} ended ${timeText(value)}`),
    }),
  ],
};

async function leaderProblem(facts: Facts, signal: AbortSignal): Promise<string | undefined> {
  const { told } = await facts.controllers(signal);
  if (told.length === 0) return 'no controller could be asked';
  const leaders = told.filter((report) => valueOf(report, 'weft_controller_leader') === 1);
  if (leaders.length === 0) return `none of ${told.length} that answer says that it leads`;
  return leaders.length === 1 ? undefined : `these say that they lead: ${leaders.map(placeOf).join(', ')}`;
}

/** To the second, as logs have it. */
function timeText(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? 'an unknown time' : `${time.toISOString().slice(0, 19)}Z`;
}
