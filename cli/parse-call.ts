import { parseArgs } from 'node:util';

import { WeftError } from '../mesh/errors.ts';
import type { Command, Flag, Flags } from './command.ts';
import { messageOf } from '../mesh/message-of.ts';

export interface ParsedCall {
  readonly flags: Readonly<Record<string, string | boolean | readonly string[] | undefined>>;
  readonly positionals: readonly string[];
  readonly wantsHelp: boolean;
}

/** @throws WeftError E401 that names what is wrong */
export function parseCall(command: Command, args: readonly string[]): ParsedCall {
  const { values, positionals } = parse(command, args);
  const wantsHelp = values['help'] === true;
  if (!wantsHelp) checkPositionals(command, positionals);
  const flags: Record<string, string | boolean | readonly string[] | undefined> = {};
  for (const [name, flag] of Object.entries(command.flags)) flags[name] = valueOf(command, name, flag, values[name]);
  return { flags, positionals, wantsHelp };
}

type Raw = string | boolean | (string | boolean)[] | undefined;

function parse(command: Command, args: readonly string[]): { values: Record<string, Raw>; positionals: string[] } {
  try {
    return parseArgs({ args: [...args], options: optionsOf(command.flags), allowPositionals: true, strict: true });
  } catch (error) {
    const [problem] = messageOf(error).split('. ');
    throw refused(command, problem ?? '');
  }
}

function optionsOf(flags: Flags) {
  const options = Object.entries(flags).map(([name, { short, value, isMultiple = false }]) => [
    name,
    { type: value === undefined ? 'boolean' : 'string', multiple: isMultiple, ...(short !== undefined && { short }) },
  ]);
  return { ...Object.fromEntries(options), help: { type: 'boolean', short: 'h' } } as Record<
    string,
    { type: 'boolean' | 'string'; short?: string }
  >;
}

function valueOf(
  command: Command,
  name: string,
  flag: Flag,
  given: Raw,
): string | boolean | readonly string[] | undefined {
  if (flag.isMultiple === true) return Array.isArray(given) ? given.map(String) : [];
  if (flag.value === undefined) return given === true;
  const text = typeof given === 'string' ? given : flag.fallback;
  if (text !== undefined && flag.choices !== undefined && !flag.choices.includes(text))
    throw refused(command, `--${name}: "${text}" is none of ${flag.choices.join(', ')}`);
  return text;
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const { minimum, maximum, usage } = command.positionals ?? { minimum: 0, maximum: 0, usage: '' };
  const extra = given[maximum];
  if (extra !== undefined) throw refused(command, `"${extra}" is one argument too many`);
  if (given.length < minimum) throw refused(command, `it needs ${usage}`);
}

function refused(command: Command, problem: string): WeftError {
  return new WeftError('WEFT-E401', `${command.name}: ${problem}`);
}
