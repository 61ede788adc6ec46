import type { Facts } from '../cluster/facts.ts';
import { partOf } from '../installation.ts';
import type { Surroundings } from '../surroundings.ts';
import type { ChartRenderer } from './chart.ts';
import { objectsIn, renderCrds } from './manifests.ts';

const path = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions';

/** Of an installation; an object has one owner, so those that another mesh has brought, such as Linkerd, are left to it. */
export async function crdsOfOthers(facts: Facts, signal: AbortSignal): Promise<string[]> {
  const present = await facts.list(path, signal);
  return present
    .filter(({ metadata: { labels = {} } }) => labels[partOf.label] !== partOf.value)
    .map(({ metadata }) => metadata.name);
}

export async function missingCrds(facts: Facts, renderer: ChartRenderer, signal: AbortSignal): Promise<string[]> {
  const wanted = objectsIn(await renderCrds(renderer, facts.namespace, [], signal))
    .filter(({ kind }) => kind === 'CustomResourceDefinition')
    .map(({ metadata }) => metadata.name);
  const present = new Set((await facts.list(path, signal)).map(({ metadata }) => metadata.name));
  return wanted.filter((name) => !present.has(name));
}

/** @throws WeftError E406 */
export async function printCrds(
  renderer: ChartRenderer,
  namespace: string,
  except: readonly string[],
  { out, err, signal }: Surroundings,
): Promise<number> {
  const manifests = await renderCrds(renderer, namespace, except, signal);
  if (manifests === '') err.write('weft: there is no CustomResourceDefinition to install\n');
  out.write(manifests);
  return 0;
}
