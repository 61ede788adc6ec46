/**
 * IP addresses as 16 bytes in network order, IPv4 as ::ffff:a.b.c.d (RFC 4291, 2.5.5.2): the form of the kernel programs and of the
 * engine, so nothing is converted on the data path.
 */
import { isIP } from 'node:net';

export type Address = Uint8Array;

export interface Network {
  readonly address: Address;
  /** 0 to 128: of an IPv4 network 96 more than is written. */
  readonly prefixLength: number;
}

const mappedPrefix = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff);

export function isIPv4(address: Address): boolean {
  return startsWith(address, mappedPrefix);
}

/** Of an IPv4 address, as it is written in hexadecimal. */
export function ipv4Number(address: Address): number {
  return ((byteAt(address, 12) * 256 + byteAt(address, 13)) * 256 + byteAt(address, 14)) * 256 + byteAt(address, 15);
}

/** As set() does, which costs a call of the runtime. */
export function copyAddress(from: Address, to: Uint8Array): void {
  for (let index = 0; index < 16; index++) to[index] = byteAt(from, index);
}

export function addressesEqual(a: Address, b: Address): boolean {
  for (let index = 0; index < 16; index++) if (a[index] !== b[index]) return false;
  return true;
}

/** Whether the address lies in the network that the leading whole bytes name. */
export function startsWith(address: Address, bytes: Uint8Array): boolean {
  for (let index = 0; index < bytes.length; index++) if (address[index] !== bytes[index]) return false;
  return true;
}

/** 127.0.0.0/8 and ::1. */
export function isLoopback(address: Address): boolean {
  if (isIPv4(address)) return address[12] === 127;
  for (let index = 0; index < 15; index++) if (address[index] !== 0) return false;
  return address[15] === 1;
}

/** Who dials it reaches the host itself. */
export function isUnspecified(address: Address): boolean {
  for (let index = isIPv4(address) ? 12 : 0; index < 16; index++) if (address[index] !== 0) return false;
  return true;
}

/** @throws RangeError that names the text; also of an address with a zone, as sixteen bytes do not hold one. */
export function parseAddress(text: string): Address {
  const version = isIP(text);
  if (version === 4) return Uint8Array.of(...mappedPrefix, ...text.split('.').map(Number));
  if (version === 6 && !text.includes('%')) return parseIPv6(text);
  throw new RangeError(`"${text}" is not an IP address`);
}

/** The form of RFC 5952; IPv4 in dotted form. */
export function formatAddress(address: Address): string {
  if (isIPv4(address)) return address.subarray(12, 16).join('.');
  const groups = Array.from(
    { length: 8 },
    (_, index) => (byteAt(address, 2 * index) << 8) | byteAt(address, 2 * index + 1),
  );
  const zeros = longestZeroRun(groups);
  if (zeros.length < 2) return hex(groups); // RFC 5952, 4.2.2: one group alone is not shortened
  return `${hex(groups.slice(0, zeros.start))}::${hex(groups.slice(zeros.start + zeros.length))}`;
}

/** "10.0.0.0/8", "fd00::/8" or a single address. Bits beyond the prefix are cleared. @throws RangeError that names the text. */
export function parseNetwork(text: string): Network {
  const [host = '', length, ...rest] = text.split('/');
  const bits = host.includes(':') ? 128 : 32;
  const prefix = length === undefined ? bits : /^\d{1,3}$/.test(length) ? Number(length) : NaN;
  if (isIP(host) === 0 || rest.length > 0 || !(prefix <= bits)) {
    throw new RangeError(`"${text}" is not a network in CIDR notation`);
  }
  const prefixLength = 128 - bits + prefix;
  return { address: parseAddress(host).map((byte, index) => byte & maskByte(prefixLength - 8 * index)), prefixLength };
}

export function isInNetwork(network: Network, address: Address): boolean {
  for (let index = 0; 8 * index < network.prefixLength; index++) {
    const mask = maskByte(network.prefixLength - 8 * index);
    if ((byteAt(address, index) & mask) !== byteAt(network.address, index)) return false;
  }
  return true;
}

function maskByte(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 8 ? 0xff : (0xff << (8 - bits)) & 0xff;
}

/** Of text that isIP() has found to be well formed. */
function parseIPv6(text: string): Address {
  const [head = '', tail = ''] = text.split('::');
  const first = bytesOfGroups(head);
  const last = bytesOfGroups(tail);
  const address = new Uint8Array(16);
  address.set(first);
  address.set(last, 16 - last.length);
  return address;
}

/** "1:2:3" or, as the end of an address may be written (RFC 4291, 2.2), "1:2:10.0.0.1". */
function bytesOfGroups(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (group.includes('.')) return group.split('.').map(Number);
    const value = parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}

function hex(groups: readonly number[]): string {
  return groups.map((group) => group.toString(16)).join(':');
}

function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** The first of the longest, as RFC 5952, 4.2.3 asks. */
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
