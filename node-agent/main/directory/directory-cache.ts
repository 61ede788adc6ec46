import { createHash } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';

import type { Destination } from '../../../mesh/destination.ts';
import { WeftError } from '../../../mesh/errors.ts';
import type { OptedInNamespace } from '../../../mesh/namespace.ts';
import { addressKey } from '../../../mesh/service.ts';
import type { Endpoint } from '../../../mesh/service.ts';
import type { OwnWorkload } from '../../../mesh/workload.ts';
import type { TrustBundle } from './directory-client.ts';
import type { SavedDestination } from './known-destinations.ts';

/** What the directory last said; nothing secret. */
export interface DirectoryMemory {
  readonly node: string;
  readonly epoch: string;
  readonly workloadsVersion: number;
  /** False where no controller has told workloads and namespaces yet. */
  readonly knowsWorkloads: boolean;
  readonly workloads: readonly OwnWorkload[];
  readonly namespaces: readonly OptedInNamespace[];
  readonly destinations: readonly SavedDestination[];
  readonly trustBundle?: TrustBundle;
}

const formatVersion = 5;
const magic = 'weft-directory';

/** One line with the format's version and the checksum of the rest, which is JSON. */
export async function saveMemory(path: string, memory: DirectoryMemory): Promise<void> {
  const body = JSON.stringify(
    { ...memory, trustBundle: memory.trustBundle && encode(memory.trustBundle) },
    mapsAsValues,
  );
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(`${magic} ${formatVersion} ${checksum(body)}\n${body}`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** Undefined where there is none; WEFT-E307 where it cannot be used. */
export async function loadMemory(path: string, node: string): Promise<DirectoryMemory | WeftError | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    return unusable(path, 'it cannot be read', cause);
  }
  const end = text.indexOf('\n');
  const [name, version, sum] = text.slice(0, Math.max(end, 0)).split(' ');
  const body = text.slice(end + 1);
  if (name !== magic) return unusable(path, 'it is no cache of the directory');
  if (version !== String(formatVersion))
    return unusable(path, `its format is ${version ?? 'none'}, not ${formatVersion}`);
  if (sum !== checksum(body)) return unusable(path, 'its checksum is wrong');
  // The checksum says that this very code wrote it.
  const { trustBundle, ...memory } = JSON.parse(body) as Omit<DirectoryMemory, 'trustBundle'> & {
    trustBundle?: ReturnType<typeof encode>;
  };
  if (memory.node !== node) return unusable(path, `it is of node ${memory.node}`);
  return {
    ...memory,
    destinations: memory.destinations.map((one) => ({ ...one, destination: revive(one.destination) })),
    ...(trustBundle && { trustBundle: decode(trustBundle) }),
  };
}

function mapsAsValues(_name: string, value: unknown): unknown {
  return value instanceof Map ? [...value.values()] : value;
}

function encode({ anchors, issuer }: TrustBundle): { anchors: string[]; issuer: string } {
  return { anchors: anchors.map(toBase64), issuer: toBase64(issuer) };
}

function decode({ anchors, issuer }: ReturnType<typeof encode>): TrustBundle {
  return { anchors: anchors.map((anchor) => Buffer.from(anchor, 'base64')), issuer: Buffer.from(issuer, 'base64') };
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function revive(destination: Destination): Destination {
  if (destination.kind !== 'service') return destination;
  const endpoints = destination.endpoints as unknown as readonly Endpoint[]; // a Map is written as its values
  return {
    ...destination,
    endpoints: new Map(endpoints.map((endpoint) => [addressKey(endpoint.address, endpoint.port), endpoint])),
  };
}

function checksum(body: string): string {
  return createHash('sha256').update(body).digest('hex');
}

function unusable(path: string, why: string, cause?: unknown): WeftError {
  return new WeftError('WEFT-E307', `${path} is not used: ${why}`, { cause });
}
