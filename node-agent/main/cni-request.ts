import type { Address } from '../../mesh/address.ts';
import { parseAddress } from '../../mesh/address.ts';
import { CniError } from './cni-errors.ts';

export interface CniAttachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** One call of the container runtime, as the plugin passed it on. */
export interface CniRequest {
  readonly command: 'ADD' | 'DEL' | 'CHECK' | 'GC';
  /** Empty for GC, like `ifname`. */
  readonly containerId: string;
  /** Present for ADD and CHECK. */
  readonly netns: string | undefined;
  readonly ifname: string;
  readonly podNamespace: string | undefined;
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  /** For ADD and CHECK: those that the plugins before us gave to the container. */
  readonly addresses: readonly Address[];
  /** For GC: what the runtime still knows. */
  readonly validAttachments: readonly CniAttachment[];
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws CniError */
export function parseCniRequest(message: string): CniRequest {
  const request = fields(parseJson(message), 'the request');
  const environment = fields(request['env'], 'env');
  const config = fields(request['config'], 'config');
  const command = environment['CNI_COMMAND'];
  if (command !== 'ADD' && command !== 'DEL' && command !== 'CHECK' && command !== 'GC') {
    throw new CniError('invalidEnvironment', `CNI_COMMAND is ${JSON.stringify(command)}`);
  }
  const isGc = command === 'GC';
  const isRunning = command === 'ADD' || command === 'CHECK';
  const args = parseArgs(variable(environment, 'CNI_ARGS') ?? '');
  return {
    command,
    containerId: isGc ? '' : requiredVariable(environment, 'CNI_CONTAINERID'),
    netns: isRunning ? requiredVariable(environment, 'CNI_NETNS') : variable(environment, 'CNI_NETNS'),
    ifname: isGc ? '' : requiredVariable(environment, 'CNI_IFNAME'),
    podNamespace: args.get('K8S_POD_NAMESPACE'),
    podName: args.get('K8S_POD_NAME'),
    podUid: args.get('K8S_POD_UID'),
    addresses: isRunning ? containerAddresses(fields(config['prevResult'], 'prevResult')) : [],
    validAttachments: isGc ? parseAttachments(config) : [],
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CniError('decodingFailure', 'the request is not JSON', { cause });
  }
}

/** KEY=VALUE;KEY=VALUE. An empty value is as good as none. */
function parseArgs(text: string): Map<string, string> {
  const args = new Map<string, string>();
  for (const pair of text.split(';')) {
    const separator = pair.indexOf('=');
    if (pair !== '' && separator < 1)
      throw new CniError('invalidEnvironment', `CNI_ARGS has the part "${pair}", which is not KEY=VALUE`);
    const value = pair.slice(separator + 1);
    if (value === '') args.delete(pair.slice(0, separator));
    else args.set(pair.slice(0, separator), value);
  }
  return args;
}

/**
 * An address names its interface by index, in results of all versions that we speak, and an interface of the host has no sandbox. Where
 * an address names none, it is the container's.
 */
function containerAddresses(result: Fields): Address[] {
  const interfaces = list(result['interfaces'], 'prevResult.interfaces');
  const addresses: Address[] = [];
  for (const item of list(result['ips'], 'prevResult.ips')) {
    const { address, interface: index } = fields(item, 'prevResult.ips');
    const on = typeof index === 'number' ? fields(interfaces[index], `prevResult.interfaces[${index}]`) : undefined;
    if (on === undefined || isText(on['sandbox'])) addresses.push(parseCidrAddress(address));
  }
  return addresses;
}

function parseCidrAddress(cidr: unknown): Address {
  const [address = ''] = isText(cidr) ? cidr.split('/') : [];
  try {
    return parseAddress(address);
  } catch (cause) {
    throw new CniError('invalidConfig', `prevResult.ips has ${JSON.stringify(cidr)}, which is no IP address`, {
      cause,
    });
  }
}

/**
 * libcni 1.2.0 to 1.2.2 have the second key only, later ones both; Go writes an empty list as null. Without either key every pod would
 * count as gone.
 */
function parseAttachments(config: Fields): CniAttachment[] {
  const key = ['cni.dev/valid-attachments', 'cni.dev/attachments'].find((candidate) => candidate in config);
  if (key === undefined) throw new CniError('invalidConfig', 'GC came without cni.dev/valid-attachments');
  return list(config[key], key).map((item) => {
    const { containerID: containerId, ifname } = fields(item, key);
    if (!isText(containerId) || !isText(ifname)) {
      throw new CniError('invalidConfig', `${key} has an entry without containerID or ifname`);
    }
    return { containerId, ifname };
  });
}

function variable(environment: Fields, name: string): string | undefined {
  const value = environment[name];
  if (value === undefined || value === '') return undefined;
  if (!isText(value)) throw new CniError('invalidEnvironment', `${name} is no string`);
  return value;
}

function requiredVariable(environment: Fields, name: string): string {
  const value = variable(environment, name);
  if (value === undefined) throw new CniError('invalidEnvironment', `${name} is missing`);
  return value;
}

function fields(value: unknown, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CniError('invalidConfig', `${where} is no JSON object`);
  }
  return value as Fields;
}

/** Absent and null count as empty. */
function list(value: unknown, where: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new CniError('invalidConfig', `${where} is no list`);
  return value;
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
