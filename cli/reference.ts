import type { Command, Flag } from './command.ts';
import { commandUsage, helpFlag, meaningOf } from './help.ts';

/** docs/cli.md. */
export function reference(commands: readonly Command[]): string {
  return [
    '# The weft command',
    '',
    'Made of what `weft COMMAND --help` says (`node cli/reference-main.ts > docs/cli.md`). The exit status is 0, or 1 for whatever went wrong; warnings of `weft check` keep it 0. What went',
    'wrong is one line on standard error with a code of [errors.md](errors.md). The kubeconfig is found as kubectl finds it. Colours are for terminals, and `NO_COLOR` turns them off.',
    '',
    ...commands.flatMap(section),
  ].join('\n');
}

function section(command: Command): string[] {
  const { name, summary, flags, examples = [] } = command;
  const rows = Object.entries({ ...flags, help: helpFlag }).map(row);
  return [
    `## weft ${name}`,
    '',
    `${summary}.`,
    '',
    '```sh',
    commandUsage(command),
    ...examples.map((example) => example),
    '```',
    '',
    '| flag | meaning |',
    '| --- | --- |',
    ...rows,
    '',
  ];
}

function row([name, flag]: [string, Flag]): string {
  const short = flag.short === undefined ? '' : `\`-${flag.short}\`, `;
  const long = `\`--${name}${flag.value === undefined ? '' : ` ${flag.value}`}\``;
  return `| ${short}${long} | ${meaningOf(flag).replaceAll('|', '\\|')} |`;
}
