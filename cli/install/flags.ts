import type { FlagValues, Flags } from '../command.ts';
import type { ChartRenderer, Choices } from './chart.ts';
import { readValuesFile } from './choices.ts';
import type { IssuerFiles } from './issuer-values.ts';
import { externalIssuerValues } from './issuer-values.ts';

/** Of install and upgrade: what is chosen for an installation. */
export const choiceFlags = {
  crds: { help: 'the CustomResourceDefinitions, which come first' },
  ha: { help: 'three replicas and what else high availability needs (values-ha.yaml of the chart)' },
  values: { short: 'f', value: 'FILE', isMultiple: true, help: 'values of the chart, "-" for standard input' },
  set: { value: 'KEY=VALUE', isMultiple: true, help: 'a value of the chart, as Helm reads it' },
  'set-string': { value: 'KEY=TEXT', isMultiple: true, help: 'a value of the chart that is text' },
  'identity-trust-anchors-file': { value: 'FILE', help: 'trust anchors, PEM; made where none are given' },
  'identity-issuer-certificate-file': { value: 'FILE', help: 'certificate of the issuer and its chain, PEM' },
  'identity-issuer-key-file': { value: 'FILE', help: 'key of the issuer, PEM' },
  'identity-external-issuer': {
    help: 'somebody else writes the Secret weft-issuer, and the ConfigMap weft-trust-anchors where no anchors are given',
  },
} as const satisfies Flags;

export type ChoiceFlags = FlagValues<typeof choiceFlags>;

/** @throws WeftError E401, E406 */
export function choicesOf(flags: ChoiceFlags, renderer: ChartRenderer): Choices {
  const highAvailability = flags.ha ? [renderer.carriedValues('weft', 'values-ha.yaml')] : [];
  const external = flags['identity-external-issuer']
    ? [externalIssuerValues(flags['identity-trust-anchors-file'])]
    : [];
  return {
    values: [...highAvailability, ...external, ...flags.values.map(readValuesFile)],
    set: flags.set,
    setString: flags['set-string'],
  };
}

export function issuerFilesOf(flags: ChoiceFlags): IssuerFiles {
  return {
    anchors: flags['identity-trust-anchors-file'],
    certificate: flags['identity-issuer-certificate-file'],
    key: flags['identity-issuer-key-file'],
  };
}
