import type { Command, Flag } from './command.ts';

/** What all commands have. */
export const helpFlag: Flag = { short: 'h', help: 'this text' };

export function commandUsage(command: Command): string {
  const { name, positionals } = command;
  return ['weft', name, ...(positionals === undefined ? [] : [positionals.usage]), '[flags]'].join(' ');
}

export function commandHelp(command: Command): string {
  const { summary, flags, examples = [] } = command;
  const lines = Object.entries({ ...flags, help: helpFlag }).map(([name, flag]) => [
    titleOf(name, flag),
    meaningOf(flag),
  ]);
  return [
    `${summary}.`,
    '',
    `Usage: ${commandUsage(command)}`,
    '',
    ...columns(lines),
    ...(examples.length > 0 ? ['', 'Examples:', ...examples.map((example) => `  ${example}`)] : []),
    '',
  ].join('\n');
}

export function overview(commands: readonly Command[]): string {
  return [
    'weft manages the service mesh Weft.',
    '',
    'Usage: weft COMMAND [flags]',
    '',
    ...columns(commands.map(({ name, summary }) => [name, summary])),
    '',
    '`weft COMMAND --help` tells more of one.',
    '',
  ].join('\n');
}

/** "-n, --namespace NAME" */
export function titleOf(name: string, { short, value }: Flag): string {
  return `${short === undefined ? '    ' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
}

export function meaningOf({ help, fallback, choices, isMultiple }: Flag): string {
  const notes = [
    ...(choices === undefined ? [] : [`one of ${choices.join(', ')}`]),
    ...(isMultiple === true ? ['may be repeated'] : []),
    ...(fallback === undefined ? [] : [`default ${fallback}`]),
  ];
  return notes.length === 0 ? help : `${help} (${notes.join('; ')})`;
}

function columns(rows: readonly (readonly string[])[]): string[] {
  const width = Math.max(...rows.map(([first = '']) => first.length)) + 2;
  return rows.map(([first = '', second = '']) => `  ${first.padEnd(width)}${second}`);
}
