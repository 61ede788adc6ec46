import type { Surroundings } from './surroundings.ts';

export type Paint = (text: string) => string;

export interface Style {
  readonly green: Paint;
  readonly yellow: Paint;
  readonly red: Paint;
}

const escape = '\u001b[';

/** Colours where a person reads, and not where NO_COLOR forbids them (no-color.org) or the terminal has none. */
export function styleOf({ out, environment }: Surroundings): Style {
  const { NO_COLOR, TERM } = environment;
  const isColoured = out.isTerminal && (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb';
  const paint = (code: number): Paint =>
    isColoured ? (text) => `${escape}${code}m${text}${escape}0m` : (text) => text;
  return { green: paint(32), yellow: paint(33), red: paint(31) };
}
