import type { IssuerTexts } from '../../control-plane/identity/issuer.ts';
import { WeftError } from '../../mesh/errors.ts';
import type { Facts } from '../cluster/facts.ts';
import type { ConfigMap } from '../cluster/objects.ts';
import { clusterFlags, withFacts } from '../cluster-flags.ts';
import { defineCommand } from '../command.ts';
import type { Choices } from '../install/chart.ts';
import type { SecretObject } from '../install/choices.ts';
import { choicesSecret, joinChoices, readChoices } from '../install/choices.ts';
import { crdsOfOthers, printCrds } from '../install/crds.ts';
import type { ChoiceFlags } from '../install/flags.ts';
import { choiceFlags, choicesOf, issuerFilesOf } from '../install/flags.ts';
import { HelmRenderer } from '../install/helm.ts';
import { anchorsConfigMap, chooseIssuer, isExternal, issuerOf, issuerSecret } from '../install/issuer-values.ts';
import { renderInstallation } from '../install/manifests.ts';

export const upgrade = defineCommand({
  name: 'upgrade',
  summary: 'Print the manifests of an installation as this version makes them, with what was chosen before',
  flags: { ...choiceFlags, ...clusterFlags },
  examples: [
    'weft upgrade --crds | kubectl apply --server-side -f -',
    'weft upgrade | kubectl apply -f -',
    'weft upgrade --set controller.replicas=3 | kubectl apply -f -',
  ],
  run: async ({ flags, surroundings }) => {
    const { out, signal, environment } = surroundings;
    const namespace = flags['weft-namespace'];
    const renderer = new HelmRenderer(environment);
    if (flags.crds) {
      const others = await withFacts(flags, surroundings, (facts) => crdsOfOthers(facts, signal));
      return printCrds(renderer, namespace, others, surroundings);
    }
    const added = choicesOf(flags, renderer);
    const { choices, issuer } = await withFacts(flags, surroundings, async (facts) => {
      const all = joinChoices(await earlierChoices(facts, signal), added);
      return { choices: all, issuer: isExternal(all) ? undefined : await issuerFor(flags, facts, signal) };
    });
    out.write(await renderInstallation(renderer, { namespace, choices, issuer }, signal));
    return 0;
  },
});

/** @throws WeftError E408 */
async function earlierChoices(facts: Facts, signal: AbortSignal): Promise<Choices> {
  if ((await facts.deployment(signal)) === undefined)
    throw new WeftError(
      'WEFT-E408',
      `Weft is not installed in the namespace "${facts.namespace}": use \`weft install\``,
    );
  const secret = await secretOf(facts, choicesSecret, signal);
  if (secret === undefined)
    throw new WeftError(
      'WEFT-E408',
      `there is no Secret "${choicesSecret}": this installation was not made by \`weft install\`; with Helm use \`helm upgrade\``,
    );
  const choices = readChoices(secret);
  if (choices === undefined) throw new WeftError('WEFT-E408', `the Secret "${choicesSecret}" cannot be read`);
  return choices;
}

/** The one that signs now, unless another is named: it may have been replaced since the installation. @throws WeftError E211, E408 */
async function issuerFor(flags: ChoiceFlags, facts: Facts, signal: AbortSignal): Promise<IssuerTexts> {
  const files = issuerFilesOf(flags);
  if (Object.values(files).some((file) => file !== undefined)) return chooseIssuer(files);
  const secret = await secretOf(facts, issuerSecret, signal);
  if (secret === undefined)
    throw new WeftError(
      'WEFT-E408',
      `there is no Secret "${issuerSecret}" with the issuer: name another by the --identity-* files`,
    );
  const anchors = await facts.get<ConfigMap>(
    `/api/v1/namespaces/${facts.namespace}/configmaps/${anchorsConfigMap}`,
    signal,
  );
  return issuerOf(secret, anchors?.data?.['ca.crt']);
}

function secretOf(facts: Facts, name: string, signal: AbortSignal): Promise<SecretObject | undefined> {
  return facts.get<SecretObject>(`/api/v1/namespaces/${facts.namespace}/secrets/${name}`, signal);
}
