import { parseAllDocuments, stringify } from 'yaml';

import { WeftError } from '../../mesh/errors.ts';
import { partOf } from '../installation.ts';
import type { ChartRenderer, Choices } from './chart.ts';
import { keptChoices, noChoices } from './choices.ts';
import type { IssuerTexts } from '../../control-plane/identity/issuer.ts';
import { issuerValues } from './issuer-values.ts';

export interface Installation {
  readonly namespace: string;
  readonly choices: Choices;
  /** Undefined where somebody else writes its Secret. */
  readonly issuer: IssuerTexts | undefined;
}

/** All of an installation but the CRDs, as one stream of YAML. @throws WeftError E406 */
export async function renderInstallation(
  renderer: ChartRenderer,
  { namespace, choices, issuer }: Installation,
  signal: AbortSignal,
): Promise<string> {
  const values = [...(issuer === undefined ? [] : [issuerValues(issuer)]), ...choices.values];
  const rendered = await renderer.render({ chart: 'weft', namespace, choices: { ...choices, values } }, signal);
  const own = namesNamespace(rendered, namespace) ? [] : [namespaceManifest(namespace)];
  return joined(...own, rendered, keptChoices(choices, namespace));
}

/** @param except what is somebody else's. Empty where nothing is left. @throws WeftError E406 */
export async function renderCrds(
  renderer: ChartRenderer,
  namespace: string,
  except: readonly string[],
  signal: AbortSignal,
): Promise<string> {
  const choices = except.length === 0 ? noChoices : { ...noChoices, values: [stringify({ except })] };
  const rendered = await renderer.render({ chart: 'weft-crds', namespace, choices }, signal);
  return objectsIn(rendered).length === 0 ? '' : joined(rendered);
}

export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** @throws WeftError E406 where it is no YAML */
export function objectsIn(manifests: string): ManifestObject[] {
  return parseAllDocuments(manifests).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw new WeftError('WEFT-E406', `what was rendered is no YAML: ${error.message}`);
    const object = document.toJS() as ManifestObject | null;
    return object === null ? [] : [object];
  });
}

function namesNamespace(manifests: string, namespace: string): boolean {
  return objectsIn(manifests).some(({ kind, metadata }) => kind === 'Namespace' && metadata.name === namespace);
}

/** Agents use the network of their node and load eBPF programs, which other levels of pod security forbid. */
function namespaceManifest(name: string): string {
  const labels = { [partOf.label]: partOf.value, 'pod-security.kubernetes.io/enforce': 'privileged' };
  return stringify({ apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } });
}

function joined(...manifests: readonly string[]): string {
  return manifests.map((text) => `---\n${text.replace(/^---\n/, '').trimEnd()}\n`).join('');
}
