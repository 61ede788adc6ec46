import type { Address } from './address.ts';
import { parseNetwork } from './address.ts';

export type PortRange = readonly [first: number, last: number];
/** Of an IPv4 network the prefix is 96 longer than it is written. */
export type Subnet = readonly [address: Address, prefixLength: number];

/** Traffic that never meets the agent. Subnets are those of clients: they count inbound only, as Linkerd's do. */
export interface Skips {
  readonly inboundPorts: readonly PortRange[];
  readonly outboundPorts: readonly PortRange[];
  readonly subnets: readonly Subnet[];
}

export type Annotations = Readonly<Record<string, string>>;

/** An annotation that says nothing the mesh understands. */
export class AnnotationError extends Error {
  readonly annotation: string;

  constructor(annotation: string, problem: string) {
    super(`annotation ${annotation}: ${problem}`);
    this.name = 'AnnotationError';
    this.annotation = annotation;
  }
}

const inboundAnnotation = 'config.linkerd.io/skip-inbound-ports';
const outboundAnnotation = 'config.linkerd.io/skip-outbound-ports';
const subnetsAnnotation = 'config.linkerd.io/skip-subnets';

/**
 * Of each list, so that all pods of a node have room in the kernel's maps (WEFT_MAX_SKIPS of bpf/maps.h), up to the kubelet's usual 110:
 * one that takes more would keep others from the mesh.
 */
const maximumPrefixes = 256;

/** Galera, which Linkerd skips by default, too. */
const defaultPorts: readonly PortRange[] = [[4567, 4568]];

/**
 * As Linkerd's CNI plugin reads them: outbound ports replace the default, inbound ports are added to it. A pod's annotation hides the
 * namespace's. One bad list spoils all, so that nothing is half applied.
 *
 * @throws AnnotationError
 */
export function parseSkips(namespace: Annotations, pod: Annotations): Skips {
  const annotations = { ...namespace, ...pod };
  const inbound = annotations[inboundAnnotation];
  const outbound = annotations[outboundAnnotation];
  const subnets = annotations[subnetsAnnotation];
  return {
    inboundPorts: [...defaultPorts, ...parseSkippedPorts(inboundAnnotation, inbound ?? '')],
    outboundPorts: outbound === undefined ? defaultPorts : parseSkippedPorts(outboundAnnotation, outbound),
    subnets: parseSubnets(subnets ?? ''),
  };
}

function parseSkippedPorts(annotation: string, list: string): PortRange[] {
  const ranges = parsePorts(annotation, list);
  let prefixes = 0;
  for (const range of ranges) prefixes += prefixesOf(range);
  checkSize(annotation, prefixes);
  return ranges;
}

/** How many blocks whose size is a power of two and whose start is a multiple of it make up the range: what it takes in the kernel. */
function prefixesOf([first, last]: PortRange): number {
  let count = 0;
  for (let port = first; port <= last; count++) {
    let size = 1;
    while (port % (2 * size) === 0 && port + 2 * size - 1 <= last) size *= 2;
    port += size;
  }
  return count;
}

function checkSize(annotation: string, prefixes: number): void {
  if (prefixes > maximumPrefixes)
    throw new AnnotationError(
      annotation,
      `it takes ${prefixes} prefixes in the kernel, where ${maximumPrefixes} are the most`,
    );
}

/** "80,8000-8080". @throws AnnotationError */
export function parsePorts(annotation: string, list: string): PortRange[] {
  return tokens(list).map((token) => {
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(token);
    const first = Number(match?.[1]);
    const last = Number(match?.[2] ?? match?.[1]);
    if (match === null || first < 1 || last > 65535 || first > last) {
      throw new AnnotationError(annotation, `"${token}" is neither a port from 1 to 65535 nor a range a-b`);
    }
    return [first, last];
  });
}

function parseSubnets(list: string): Subnet[] {
  const subnets = tokens(list).map(parseSubnet);
  checkSize(subnetsAnnotation, subnets.length);
  return subnets;
}

function parseSubnet(token: string): Subnet {
  try {
    const { address, prefixLength } = parseNetwork(token);
    return [address, prefixLength];
  } catch {
    throw new AnnotationError(subnetsAnnotation, `"${token}" is not a network in CIDR notation`);
  }
}

function tokens(list: string): string[] {
  if (list.trim() === '') return [];
  return list.split(',').map((token) => token.trim());
}
