import { isIP } from 'node:net';

import { parseAddress } from '../../mesh/address.ts';

/** An error of the CNI specification; codes from 100 on are ours. */
export class CniError extends Error {
  readonly code: number;
  readonly details: string;

  constructor(code: number, message: string, details = '') {
    super(message);
    this.name = 'CniError';
    this.code = code;
    this.details = details;
  }
}

export const cniErrorCodes = { invalidEnvironment: 4, decodingFailure: 6, invalidConfig: 7, tryAgainLater: 11 } as const;

export interface CniAttachment {
  readonly containerId: string;
  readonly ifname: string;
}

/** One call of the container runtime, as the plugin passed it on. */
export interface CniRequest {
  readonly command: 'ADD' | 'DEL' | 'CHECK' | 'GC';
  readonly containerId: string;
  readonly netns: string | undefined;
  readonly ifname: string;
  readonly podNamespace: string | undefined;
  readonly podName: string | undefined;
  readonly podUid: string | undefined;
  /** Those that the plugins before us gave to the container. */
  readonly addresses: readonly Uint8Array[];
  /** Of GC: what the runtime still knows. */
  readonly validAttachments: readonly CniAttachment[];
}

type Fields = Readonly<Record<string, unknown>>;

/** @throws CniError */
export function parseCniRequest(message: string): CniRequest {
  let content: unknown;
  try {
    content = JSON.parse(message);
  } catch {
    throw new CniError(cniErrorCodes.decodingFailure, 'the request is not JSON');
  }
  const request = fields(content, 'the request');
  const environment = fields(request['env'], 'env');
  const config = fields(request['config'], 'config');
  const command = environment['CNI_COMMAND'];
  if (command !== 'ADD' && command !== 'DEL' && command !== 'CHECK' && command !== 'GC') {
    throw new CniError(cniErrorCodes.invalidEnvironment, `CNI_COMMAND is ${JSON.stringify(command)}`);
  }
  const args = parseArgs(optionalText(environment, 'CNI_ARGS') ?? '');
  return {
    command,
    containerId: optionalText(environment, 'CNI_CONTAINERID') ?? '',
    netns: optionalText(environment, 'CNI_NETNS') || undefined,
    ifname: optionalText(environment, 'CNI_IFNAME') ?? '',
    podNamespace: args.get('K8S_POD_NAMESPACE'),
    podName: args.get('K8S_POD_NAME'),
    podUid: args.get('K8S_POD_UID'),
    addresses: command === 'ADD' ? containerAddresses(fields(config['prevResult'], 'prevResult')) : [],
    validAttachments: attachments(config['cni.dev/valid-attachments']),
  };
}

function parseArgs(text: string): Map<string, string> {
  const pairs = text.split(';').filter((pair) => pair !== '');
  return new Map(
    pairs.map((pair) => {
      const separator = pair.indexOf('=');
      if (separator < 1) throw new CniError(cniErrorCodes.invalidEnvironment, `CNI_ARGS has the part "${pair}", which is no KEY=VALUE`);
      return [pair.slice(0, separator), pair.slice(separator + 1)];
    }),
  );
}

/** Addresses of interfaces inside the sandbox; of all where the result does not say which interface they are on. */
function containerAddresses(result: Fields): Uint8Array[] {
  const interfaces = list(result['interfaces']).map((item) => fields(item, 'prevResult.interfaces'));
  return list(result['ips']).flatMap((item) => {
    const entry = fields(item, 'prevResult.ips');
    const index = entry['interface'];
    const onHost = typeof index === 'number' && interfaces[index] !== undefined && !interfaces[index]['sandbox'];
    if (onHost) return [];
    const [address = ''] = String(entry['address']).split('/');
    if (isIP(address) === 0) throw new CniError(cniErrorCodes.invalidConfig, `prevResult.ips has "${address}", which is no IP address`);
    return [parseAddress(address)];
  });
}

function attachments(value: unknown): CniAttachment[] {
  return list(value).map((item) => {
    const entry = fields(item, 'cni.dev/valid-attachments');
    return { containerId: String(entry['containerID']), ifname: String(entry['ifname']) };
  });
}

function fields(value: unknown, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new CniError(cniErrorCodes.decodingFailure, `${where} must be a JSON object`);
  }
  return value as Fields;
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function optionalText(object: Fields, key: string): string | undefined {
  const value = object[key];
  if (value !== undefined && typeof value !== 'string') throw new CniError(cniErrorCodes.invalidEnvironment, `${key} must be a string`);
  return value;
}
