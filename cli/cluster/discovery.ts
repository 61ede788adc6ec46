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

/** The kinds that the server knows and whose objects can be listed and deleted. @throws WeftError E403 */
export async function discover(cluster: Cluster, signal: AbortSignal): Promise<Resource[]> {
  const { groups = [] } = (await cluster.read<GroupList>('/apis', signal)) ?? {};
  const versions = groups.flatMap(({ preferredVersion }) => preferredVersion?.groupVersion ?? []);
  const found: Resource[] = [];
  for (const path of ['/api/v1', ...versions.map((version) => `/apis/${version}`)]) {
    const list = await cluster.read<ResourceList>(path, signal);
    for (const { name, kind, verbs = [] } of list?.resources ?? [])
      if (verbs.includes('list') && verbs.includes('delete') && !name.includes('/'))
        found.push({ apiVersion: list?.groupVersion ?? '', kind, path: `${path}/${name}` });
  }
  return found;
}
