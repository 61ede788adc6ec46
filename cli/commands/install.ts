import { WeftError } from '../../mesh/errors.ts';
import type { Facts } from '../cluster/facts.ts';
import { clusterFlags, withFacts } from '../cluster-flags.ts';
import { defineCommand } from '../command.ts';
import type { ChartRenderer } from '../install/chart.ts';
import { crdsOfOthers, missingCrds, printCrds } from '../install/crds.ts';
import { choiceFlags, choicesOf, issuerFilesOf } from '../install/flags.ts';
import { HelmRenderer } from '../install/helm.ts';
import { chooseIssuer, isExternal } from '../install/issuer-values.ts';
import { renderInstallation } from '../install/manifests.ts';

export const install = defineCommand({
  name: 'install',
  summary: 'Print the manifests of an installation',
  flags: {
    ...choiceFlags,
    'ignore-cluster': { help: 'render without looking at the cluster' },
    ...clusterFlags,
  },
  examples: [
    'weft install --crds | kubectl apply --server-side -f -',
    'weft install | kubectl apply -f -',
    'weft install --ha --set agent.logLevel=debug | kubectl apply -f -',
  ],
  run: async ({ flags, surroundings }) => {
    const { out, signal, environment } = surroundings;
    const namespace = flags['weft-namespace'];
    const renderer = new HelmRenderer(environment);
    if (flags.crds) {
      const others = flags['ignore-cluster']
        ? []
        : await withFacts(flags, surroundings, (facts) => crdsOfOthers(facts, signal));
      return printCrds(renderer, namespace, others, surroundings);
    }
    const choices = choicesOf(flags, renderer);
    const issuer = isExternal(choices) ? undefined : chooseIssuer(issuerFilesOf(flags));
    if (!flags['ignore-cluster'])
      await withFacts(flags, surroundings, (facts) => refuseWhereNotFit(facts, renderer, signal));
    out.write(await renderInstallation(renderer, { namespace, choices, issuer }, signal));
    return 0;
  },
});

/** @throws WeftError E408 */
async function refuseWhereNotFit(facts: Facts, renderer: ChartRenderer, signal: AbortSignal): Promise<void> {
  if ((await facts.deployment(signal)) !== undefined)
    throw new WeftError(
      'WEFT-E408',
      `Weft is installed in the namespace "${facts.namespace}" already: use \`weft upgrade\``,
    );
  const missing = await missingCrds(facts, renderer, signal);
  if (missing.length > 0)
    throw new WeftError(
      'WEFT-E408',
      `the cluster has no ${missing.join(', ')}: run \`weft install --crds | kubectl apply --server-side -f -\` first`,
    );
}
