import type { FlagValues, Flags } from './command.ts';
import { Cluster } from './cluster/cluster.ts';
import { Facts } from './cluster/facts.ts';
import { openKubeconfig } from './cluster/kubeconfig.ts';
import { defaultNamespace } from './installation.ts';
import type { Surroundings } from './surroundings.ts';

/** Of every command that talks to a cluster. */
export const clusterFlags = {
  'weft-namespace': {
    short: 'L',
    value: 'NAME',
    fallback: defaultNamespace,
    help: 'namespace that Weft is installed in',
  },
  kubeconfig: { value: 'FILE', help: 'how to reach the cluster; else KUBECONFIG, else ~/.kube/config' },
  context: { value: 'NAME', help: 'context of the kubeconfig to use' },
  as: { value: 'USER', help: 'user to impersonate' },
  'as-group': { value: 'GROUP', help: 'group to impersonate' },
} as const satisfies Flags;

/** Ends what is open when the work is over. @throws what the work throws, WeftError E402 among it */
export async function withFacts<Result>(
  flags: FlagValues<typeof clusterFlags>,
  surroundings: Surroundings,
  work: (facts: Facts) => Promise<Result>,
): Promise<Result> {
  const { kubeconfig, context, as } = flags;
  const choice = { kubeconfig, context, as, asGroup: flags['as-group'] };
  const facts = new Facts(() => new Cluster(openKubeconfig(choice, surroundings.environment)), flags['weft-namespace']);
  try {
    return await work(facts);
  } finally {
    await facts.close();
  }
}
