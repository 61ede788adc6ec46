/**
 * IP addresses as 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2): the form of the kernel programs and of the
 * engine, so nothing is converted on the data path.
 */
import { isIP } from 'node:net';

export type Address = Uint8Array;

const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff] as const;

export function isIPv4(address: Address): boolean {
  return mappedPrefix.every((byte, index) => address[index] === byte);
}

export function addressesEqual(a: Address, b: Address): boolean {
  for (let index = 0; index < 16; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: Address): boolean {
  if (isIPv4(address)) return address[12] === 127;
  return address[15] === 1 && address.subarray(0, 15).every((byte) => byte === 0);
}

/** @throws RangeError that names the text. */
export function parseAddress(text: string): Address {
  switch (isIP(text)) {
    case 4:
      return Uint8Array.of(...mappedPrefix, ...text.split('.').map(Number));
    case 6:
      return parseIPv6(text);
    default:
      throw new RangeError(`"${text}" is not an IP address`);
  }
}

/** The form of RFC 5952; IPv4 in dotted form. */
export function formatAddress(address: Address): string {
  if (isIPv4(address)) return address.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, index) => ((address[2 * index] ?? 0) << 8) | (address[2 * index + 1] ?? 0));
  const zeros = longestZeroRun(groups);
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(':');
  if (zeros.length < 2) return hex(groups);
  return `${hex(groups.slice(0, zeros.start))}::${hex(groups.slice(zeros.start + zeros.length))}`;
}

export interface Network {
  readonly address: Address;
  /** 0 to 128: of an IPv4 network 96 more than is written. */
  readonly prefixLength: number;
}

/** "10.0.0.0/8", "fd00::/8" or a single address. Bits beyond the prefix are cleared. @throws RangeError that names the text. */
export function parseNetwork(text: string): Network {
  const [address = '', length, ...rest] = text.split('/');
  const bytes = parseAddress(address);
  const bits = isIPv4(bytes) && !address.includes(':') ? 32 : 128;
  if (rest.length > 0 || (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length)) || Number(length ?? bits) > bits) {
    throw new RangeError(`"${text}" is not a network in CIDR notation`);
  }
  const prefixLength = 128 - bits + Number(length ?? bits);
  return { address: bytes.map((byte, index) => byte & maskByte(prefixLength - 8 * index)), prefixLength };
}

function maskByte(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 8 ? 0xff : (0xff << (8 - bits)) & 0xff;
}

function parseIPv6(text: string): Address {
  const [withoutZone = ''] = text.split('%');
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(withoutZone);
  const plain = dotted
    ? `${dotted[1] ?? ''}${((Number(dotted[2]) << 8) | Number(dotted[3])).toString(16)}:${((Number(dotted[4]) << 8) | Number(dotted[5])).toString(16)}`
    : withoutZone;
  const [head = '', tail] = plain.split('::');
  const first = head === '' ? [] : head.split(':');
  const last = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...first, ...Array<string>(8 - first.length - last.length).fill('0'), ...last].map((group) => parseInt(group, 16));
  return Uint8Array.from(groups.flatMap((group) => [group >> 8, group & 0xff]));
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
    start += length;
  }
  return best;
}
