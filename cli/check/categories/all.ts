import type { Category } from '../check.ts';
import { controlPlane, identity } from './control-plane.ts';
import { dataPlane } from './data-plane.ts';
import { existence } from './existence.ts';
import { kubernetesApi, kubernetesVersion } from './kubernetes.ts';
import { nodes } from './nodes.ts';
import { preSetup } from './rights.ts';
import { versions } from './versions.ts';

/** Before an installation. */
export const preInstallation: readonly Category[] = [kubernetesApi, kubernetesVersion, preSetup, nodes];

/** Of an installation. */
export function installed(expectedVersion: string | undefined): readonly Category[] {
  return [
    kubernetesApi,
    kubernetesVersion,
    existence,
    nodes,
    controlPlane,
    identity,
    dataPlane,
    versions(expectedVersion),
  ];
}
