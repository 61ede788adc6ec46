import { stringify } from 'yaml';

import { WeftError } from '../../mesh/errors.ts';
import { isWanted } from '../check/categories/data-plane.ts';
import { discover } from '../cluster/discovery.ts';
import type { Facts } from '../cluster/facts.ts';
import type { KubeObject, Pod } from '../cluster/objects.ts';
import { clusterFlags, withFacts } from '../cluster-flags.ts';
import { defineCommand } from '../command.ts';
import { partOf } from '../installation.ts';

interface OwnedObject extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly ownerReferences?: readonly unknown[] };
}

/** Made by others from objects of ours, which take them along when they go. */
const madeByOthers: ReadonlySet<string> = new Set(['Endpoints', 'EndpointSlice', 'Event', 'Pod', 'ReplicaSet']);

export const uninstall = defineCommand({
  name: 'uninstall',
  summary: 'Print what belongs to the installation, for `kubectl delete -f -`',
  flags: { force: { help: 'also while pods are in the mesh: they go on in plaintext' }, ...clusterFlags },
  examples: ['weft uninstall | kubectl delete -f -'],
  run: async ({ flags, surroundings }) => {
    const { out, err, signal } = surroundings;
    const manifests = await withFacts(flags, surroundings, async (facts) => {
      if (!flags.force) await refuseWhereInUse(facts, signal);
      return ownManifests(facts, signal, ({ code, message }) => {
        err.write(`weft: left out: ${code} ${message}\n`);
      });
    });
    if (manifests.length === 0)
      throw new WeftError('WEFT-E404', `nothing in the cluster is labelled ${partOf.label}=${partOf.value}`);
    out.write(manifests.map((manifest) => `---\n${stringify(manifest)}`).join(''));
    return 0;
  },
});

/** @throws WeftError E407 */
async function refuseWhereInUse(facts: Facts, signal: AbortSignal): Promise<void> {
  const namespaces = new Map(
    (await facts.list<KubeObject>('/api/v1/namespaces', signal)).map((namespace) => [
      namespace.metadata.name,
      namespace,
    ]),
  );
  const inUse = new Set<string>();
  for (const pod of await facts.list<Pod>('/api/v1/pods', signal)) {
    const namespace = namespaces.get(pod.metadata.namespace ?? '');
    if (namespace !== undefined && isWanted(namespace, pod, facts.namespace)) inUse.add(namespace.metadata.name);
  }
  if (inUse.size > 0)
    throw new WeftError('WEFT-E407', `pods of these namespaces are in the mesh: ${[...inUse].sort().join(', ')}`);
}

/** Namespaces last, as one that goes takes along what would not be found any more. What an owner takes along is left out. */
async function ownManifests(
  facts: Facts,
  signal: AbortSignal,
  onUnknown: (error: WeftError) => void,
): Promise<object[]> {
  const manifests: object[] = [];
  const namespaces: object[] = [];
  for (const { apiVersion, kind, path } of await discover(facts.cluster, signal, onUnknown)) {
    if (madeByOthers.has(kind)) continue;
    const objects = await facts.list<OwnedObject>(path, signal, `${partOf.label}=${partOf.value}`);
    for (const { metadata } of objects) {
      if (metadata.ownerReferences !== undefined && metadata.ownerReferences.length > 0) continue;
      if (metadata.namespace !== undefined && metadata.namespace !== facts.namespace && kind !== 'RoleBinding')
        continue;
      (kind === 'Namespace' ? namespaces : manifests).push({
        apiVersion,
        kind,
        metadata: { name: metadata.name, ...(metadata.namespace !== undefined && { namespace: metadata.namespace }) },
      });
    }
  }
  return [...manifests, ...namespaces];
}
