import type { WeftError } from '../../mesh/errors.ts';
import type { IdentitiesStatus } from '../main/identity/node-identities.ts';

/** How the agent is, as its admin server tells. */
export interface AgentStatus {
  readonly hasStarted: boolean;
  readonly pods: number;
  readonly workers: { readonly wanted: number; readonly running: number; readonly restarts: number };
  readonly isDirectoryConnected: boolean;
  /** Why it is not connected. */
  readonly directoryError: WeftError | undefined;
  /** Something is known of the mesh, from the controller or from an earlier run. */
  readonly knowsMesh: boolean;
  readonly identities: IdentitiesStatus;
  /** Absent where the agent does not install the CNI plugin. */
  readonly cni?: { readonly problem: WeftError | undefined; readonly repairs: number };
}

/** Why the agent cannot do its work; none where it can. Without the controller it can, as long as it knows the mesh and its leaves last. */
export function reasonsNotReady(status: AgentStatus): string[] {
  const { hasStarted, workers, isDirectoryConnected, directoryError, knowsMesh, identities, cni } = status;
  const reasons: string[] = [];
  if (!hasStarted) reasons.push('the agent is starting');
  if (workers.running === 0) reasons.push('no worker runs');
  if (!isDirectoryConnected && !knowsMesh) reasons.push('WEFT-E306 the controller has not been reached yet');
  const clockError = identities.clockError ?? (directoryError?.code === 'WEFT-E220' ? directoryError : undefined);
  if (clockError !== undefined) reasons.push(`${clockError.code} ${clockError.message}`);
  if (cni?.problem !== undefined) reasons.push(`${cni.problem.code} ${cni.problem.message}`);
  for (const { identity, state, error } of identities.identities) {
    if (state === 'valid') continue;
    const why = error === undefined ? '' : `: ${error.code} ${error.message}`;
    reasons.push(
      state === 'expired'
        ? `the certificate of ${identity} has expired${why}`
        : `${identity} has no certificate yet${why}`,
    );
  }
  return reasons;
}
