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
  flags: {
    force: { help: 'also while pods are in the mesh, which then go on in plaintext, or agents on their nodes' },
    ...clusterFlags,
  },
  examples: ['weft upgrade --set uninstall=true | kubectl apply -f -', 'weft uninstall | kubectl delete -f -'],
  run: async ({ flags, surroundings }) => {
    const { out, err, signal } = surroundings;
    const manifests = await withFacts(flags, surroundings, async (facts) => {
      if (!flags.force) {
        await refuseWhereInUse(facts, signal);
        await refuseWhereOnNodes(facts, signal);
      }
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

/** What agents keep on nodes (the CNI chain, pins, rules) only they can take away. @throws WeftError E408 */
async function refuseWhereOnNodes(facts: Facts, signal: AbortSignal): Promise<void> {
  const { spec, status } = (await facts.daemonSet(signal)) ?? {};
  if (spec === undefined) return;
  const isLeaving = spec.template?.spec?.containers?.some(({ args = [] }) => args.includes('uninstall')) === true;
  if (!isLeaving)
    throw new WeftError(
      'WEFT-E408',
      'agents are on their nodes: run `weft upgrade --set uninstall=true | kubectl apply -f -` first, which has them take everything of Weft away, or use --force',
    );
  const {
    desiredNumberScheduled: wanted = 0,
    updatedNumberScheduled: updated = 0,
    numberReady: ready = 0,
  } = status ?? {};
  const done = Math.min(updated, ready);
  if (done < wanted)
    throw new WeftError(
      'WEFT-E408',
      `${done} of ${wanted} agents have taken Weft from their nodes: wait for the others`,
    );
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
