import { isDeepStrictEqual } from 'node:util';

import { WeftError } from '../../mesh/errors.ts';
import { messageOf } from '../../mesh/message-of.ts';

type JsonObject = Readonly<Record<string, unknown>>;

/** Our part of a network: what the container runtime hands to `weft-cni` with each call. */
export interface ChainEntry extends JsonObject {
  readonly type: string;
}

/** A network of the node as a file describes it; a file that names one plugin is a chain of one. */
export interface Network {
  readonly name: string;
  /** The whole of it, as a .conflist would have it. */
  readonly list: JsonObject & { readonly plugins: readonly JsonObject[] };
  readonly isList: boolean;
}

/** Of our entry, where the file was no list before: how it was called. The plugin does not look at it. */
const wrappedKey = 'wrapped';
const pluginVersions = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'];
const oldestWithChains = '0.3.1';

/** Which files of a folder container runtimes look at, in the order in which they take the first that is good. */
export function networkFileNames(names: readonly string[]): string[] {
  return names.filter((name) => /\.(conf|conflist|json)$/.test(name)).sort(byBytes);
}

/** WEFT-E131 for a file that no runtime could go by. */
export function parseNetwork(name: string, text: string): Network | WeftError {
  let content: unknown;
  try {
    content = parseExactly(text);
  } catch (error) {
    return malformed(name, `it is not JSON: ${messageOf(error)}`);
  }
  if (!isObject(content)) return malformed(name, 'it is no JSON object');
  const isList = name.endsWith('.conflist');
  const plugins: unknown = isList ? content['plugins'] : [content];
  if (!Array.isArray(plugins) || plugins.length === 0 || !plugins.every(isPlugin))
    return malformed(name, isList ? '"plugins" is no list of objects with a "type"' : 'it has no "type"');
  if (typeof content['name'] !== 'string' || content['name'] === '') return malformed(name, 'it has no "name"');
  if (isList) return { name, list: { ...content, plugins }, isList };
  return {
    name,
    list: { cniVersion: content['cniVersion'] ?? oldestWithChains, name: content['name'], plugins },
    isList,
  };
}

/** Why we cannot be chained into it, as WEFT-E131. */
export function whyUnsuitable({ name, list }: Network, ourType: string): WeftError | undefined {
  if (list.plugins.every(({ type }) => type === ourType))
    return malformed(name, `no plugin is there for ${ourType} to follow`);
  const version = list['cniVersion'];
  return typeof version === 'string' && pluginVersions.includes(version)
    ? undefined
    : malformed(name, `its "cniVersion" is none of ${pluginVersions.join(', ')}`);
}

/** Anywhere behind the first: two installers that both want to be last would never come to rest. */
export function isChained({ list: { plugins }, isList }: Network, entry: ChainEntry): boolean {
  const ours = plugins.filter(({ type }) => type === entry.type);
  return isList && ours.length === 1 && plugins[0] !== ours[0] && isDeepStrictEqual(withoutOrigin(ours[0]), entry);
}

/** The text of a .conflist with our entry at its end. */
export function chain(network: Network, entry: ChainEntry): string {
  const others = network.list.plugins.filter(({ type }) => type !== entry.type);
  const origin = network.isList ? wrappedName(network, entry.type) : network.name;
  const ours = origin === undefined ? entry : { ...entry, [wrappedKey]: origin };
  return format({ ...network.list, plugins: [...others, ours] });
}

/** The file without us, called as it was before we came; undefined where we are not in it. */
export function unchain(
  network: Network,
  ourType: string,
): { readonly name: string; readonly text: string } | undefined {
  const others = network.list.plugins.filter(({ type }) => type !== ourType);
  if (others.length === network.list.plugins.length || others.length === 0) return undefined;
  const origin = wrappedName(network, ourType);
  // What somebody has chained in after us has no place in a file of one plugin.
  if (origin === undefined || others.length > 1)
    return { name: network.name, text: format({ ...network.list, plugins: others }) };
  return { name: origin, text: format(others[0] ?? {}) };
}

/** How the file of one plugin was called that this one took the place of. */
export function wrappedName({ list, isList }: Network, ourType: string): string | undefined {
  const origin = isList ? list.plugins.find(({ type }) => type === ourType)?.[wrappedKey] : undefined;
  // A name in a file that others can write; it must not lead out of the folder.
  return typeof origin === 'string' && /^[^/]*\.(conf|json)$/.test(origin) ? origin : undefined;
}

function withoutOrigin(entry: JsonObject | undefined): JsonObject {
  return Object.fromEntries(Object.entries(entry ?? {}).filter(([key]) => key !== wrappedKey));
}

/** Numbers stay as they are written: they are other people's, and may be larger than a double holds. */
function parseExactly(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown, context?: { readonly source?: string }) =>
    typeof value === 'number' && context?.source !== undefined ? rawJson(context.source) : value,
  );
}

// TypeScript's library does not know it yet.
const { rawJSON: rawJson } = JSON as unknown as { readonly rawJSON: (text: string) => object };

function format(content: JsonObject): string {
  return `${JSON.stringify(content, undefined, 2)}\n`;
}

function malformed(name: string, why: string): WeftError {
  return new WeftError('WEFT-E131', `${name}: ${why}`);
}

function isPlugin(value: unknown): value is JsonObject {
  return isObject(value) && typeof value['type'] === 'string' && value['type'] !== '';
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function byBytes(one: string, other: string): number {
  return Buffer.compare(Buffer.from(one), Buffer.from(other));
}
