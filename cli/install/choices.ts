import { readFileSync } from 'node:fs';

import { parse, stringify } from 'yaml';

import { WeftError } from '../../mesh/errors.ts';
import { partOf } from '../installation.ts';
import type { KubeObject } from '../cluster/objects.ts';
import type { Choices } from './chart.ts';
import { messageOf } from '../../mesh/message-of.ts';

/** Where an installation keeps what was chosen for it, so that an upgrade chooses the same again. */
export const choicesSecret = 'weft-install-choices';
const key = 'choices.json';

export interface SecretObject extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

export const noChoices: Choices = { values: [], set: [], setString: [] };

/** @throws WeftError E401 that names the file */
export function readValuesFile(path: string): string {
  try {
    const text = readFileSync(path === '-' ? 0 : path, 'utf8');
    const values: unknown = parse(text);
    if (values !== null && (typeof values !== 'object' || Array.isArray(values))) throw new Error('it is no mapping');
    return text;
  } catch (error) {
    throw new WeftError('WEFT-E401', `--values ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

export function joinChoices(earlier: Choices, later: Choices): Choices {
  return {
    values: [...earlier.values, ...later.values],
    set: [...earlier.set, ...later.set],
    setString: [...earlier.setString, ...later.setString],
  };
}

/** A manifest. */
export function keptChoices(choices: Choices, namespace: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: { name: choicesSecret, namespace, labels: { [partOf.label]: partOf.value } },
    type: 'Opaque',
    data: { [key]: Buffer.from(JSON.stringify(choices)).toString('base64') },
  });
}

/** Undefined where the Secret does not hold any. */
export function readChoices(secret: SecretObject): Choices | undefined {
  try {
    const kept: unknown = JSON.parse(Buffer.from(secret.data?.[key] ?? '', 'base64').toString());
    if (typeof kept !== 'object' || kept === null) return undefined;
    const textsOf = (name: keyof Choices): readonly string[] | undefined => {
      const texts = (kept as Record<string, unknown>)[name];
      return Array.isArray(texts) && texts.every((text) => typeof text === 'string') ? texts : undefined;
    };
    const [values, set, setString] = [textsOf('values'), textsOf('set'), textsOf('setString')];
    return values && set && setString ? { values, set, setString } : undefined;
  } catch {
    return undefined;
  }
}
