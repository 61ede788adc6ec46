import { WeftError } from '../../mesh/errors.ts';
import type { Cluster } from './cluster.ts';

export interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  /** Of all its objects. */
  readonly path: string;
}

interface ResourceList {
  readonly groupVersion: string;
  readonly resources?: readonly {
    readonly name: string;
    readonly kind: string;
    readonly verbs?: readonly string[];
  }[];
}

interface GroupList {
  readonly groups?: readonly { readonly preferredVersion?: { readonly groupVersion: string } }[];
}

/**
 * The kinds that the server knows and whose objects can be listed and deleted. @throws WeftError E403
 * @param onUnknown an API that is served by somebody else, who does not answer
 */
export async function discover(
  cluster: Cluster,
  signal: AbortSignal,
  onUnknown: (error: WeftError) => void,
): Promise<Resource[]> {
  const { groups = [] } = (await cluster.read<GroupList>('/apis', signal)) ?? {};
  const versions = groups.flatMap(({ preferredVersion }) => preferredVersion?.groupVersion ?? []);
  const found: Resource[] = [];
  for (const path of ['/api/v1', ...versions.map((version) => `/apis/${version}`)]) {
    const list = await readKinds(cluster, path, signal, onUnknown);
    for (const { name, kind, verbs = [] } of list?.resources ?? [])
      if (verbs.includes('list') && verbs.includes('delete') && !name.includes('/'))
        found.push({ apiVersion: list?.groupVersion ?? '', kind, path: `${path}/${name}` });
  }
  return found;
}

async function readKinds(
  cluster: Cluster,
  path: string,
  signal: AbortSignal,
  onUnknown: (error: WeftError) => void,
): Promise<ResourceList | undefined> {
  try {
    return await cluster.read<ResourceList>(path, signal);
  } catch (error) {
    if (!(error instanceof WeftError) || signal.aborted) throw error;
    onUnknown(error);
    return undefined;
  }
}
