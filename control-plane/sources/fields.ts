/** Fields of objects that nobody has validated: each reader either returns what the type says or names the field. */
import { formatAddress, parseAddress } from '../../mesh/address.ts';

export type Fields = Readonly<Record<string, unknown>>;

export class FieldError extends Error {}

export function fields(value: unknown, where: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FieldError(`${where} must be a mapping`);
  return value as Fields;
}

export function list(value: unknown, where: string): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new FieldError(`${where} must be a list`);
  return value;
}

/** A list of mappings, each with the name of its place. */
export function items(value: unknown, where: string): { readonly item: Fields; readonly place: string }[] {
  return list(value, where).map((item, index) => ({
    item: fields(item, `${where}[${index}]`),
    place: `${where}[${index}]`,
  }));
}

export function text(value: unknown, where: string): string {
  if (typeof value !== 'string') throw new FieldError(`${where} must be a string`);
  return value;
}

export function flag(value: unknown, where: string): boolean {
  if (typeof value !== 'boolean') throw new FieldError(`${where} must be true or false`);
  return value;
}

export function texts(value: unknown, where: string): Record<string, string> {
  const entries = Object.entries(fields(value ?? {}, where));
  return Object.fromEntries(entries.map(([key, item]) => [key, text(item, `${where}["${key}"]`)]));
}

export function port(value: unknown, where: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 65535)
    throw new FieldError(`${where} must be a port`);
  return value;
}

/** 0 where there is none. */
export function optionalPort(value: unknown, where: string): number {
  return value === undefined || value === null || value === 0 ? 0 : port(value, where);
}

/** In the one form that addresses compare in. */
export function address(value: unknown, where: string): string {
  try {
    return formatAddress(parseAddress(text(value, where)));
  } catch {
    throw new FieldError(`${where}: ${JSON.stringify(value)} is not an IP address`);
  }
}

/** Milliseconds since the epoch; 0 where there is none. YAML may have made a date of it. */
export function time(value: unknown, where: string): number {
  if (value === undefined || value === null) return 0;
  const milliseconds = value instanceof Date ? value.getTime() : Date.parse(text(value, where));
  if (Number.isNaN(milliseconds)) throw new FieldError(`${where} must be a time`);
  return milliseconds;
}
