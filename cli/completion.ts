import type { Command, Flag } from './command.ts';
import { helpFlag } from './help.ts';

export type Shell = 'bash' | 'zsh' | 'fish';

/** A script that completes commands, flags and the values that a flag may have, made of the same tables as the help. */
export function completionScript(shell: Shell, commands: readonly Command[]): string {
  if (shell === 'fish') return fish(commands);
  // zsh runs functions of bash.
  return shell === 'zsh'
    ? `#compdef weft\nautoload -Uz bashcompinit && bashcompinit\n${bash(commands)}`
    : bash(commands);
}

function flagsOf(command: Command): [string, Flag][] {
  return Object.entries({ ...command.flags, help: helpFlag });
}

function bash(commands: readonly Command[]): string {
  const firsts = [...new Set(commands.map(({ name }) => name.split(' ')[0] ?? ''))];
  const flagCases = commands.map((command) => {
    const words = flagsOf(command).map(([name]) => `--${name}`);
    return `    '${command.name}'*) words='${words.join(' ')}' ;;`;
  });
  const seconds = firsts.flatMap((first) => {
    const rest = commands
      .filter(({ name }) => name.startsWith(`${first} `))
      .map(({ name }) => name.split(' ')[1] ?? '');
    return rest.length === 0 ? [] : [`    '${first}') words='${rest.join(' ')}' ;;`];
  });
  const choices = commands.flatMap((command) =>
    flagsOf(command).flatMap(([name, flag]) => {
      if (flag.choices === undefined) return [];
      const spellings = [`--${name}`, ...(flag.short === undefined ? [] : [`-${flag.short}`])];
      return spellings.map(
        (spelling) => `    '${command.name} ${spelling}') words='${flag.choices?.join(' ') ?? ''}' ;;`,
      );
    }),
  );
  return `_weft() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} words='' word
  local -a said=()
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && break
    said+=("$word")
  done
  local command="\${said[*]}"
  case "$command $previous" in
${choices.join('\n')}
  esac
  if [[ -z $words && $current == -* ]]; then
    case "$command" in
${flagCases.join('\n')}
    esac
  elif [[ -z $words ]]; then
    case "$command" in
    '') words='${[...firsts, 'help'].join(' ')}' ;;
${seconds.join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _weft weft
`;
}

function fish(commands: readonly Command[]): string {
  const lines = commands.flatMap((command) => {
    const [first = '', second] = command.name.split(' ');
    const where =
      second === undefined
        ? `__fish_seen_subcommand_from ${first}`
        : `__fish_seen_subcommand_from ${first}; and __fish_seen_subcommand_from ${second}`;
    const offer =
      second === undefined
        ? `complete -c weft -f -n __fish_use_subcommand -a ${first} -d ${quoted(command.summary)}`
        : `complete -c weft -f -n '__fish_seen_subcommand_from ${first}; and not __fish_seen_subcommand_from ${second}' -a ${second} -d ${quoted(command.summary)}`;
    const flags = flagsOf(command).map(([name, { short, value, choices, help }]) =>
      [
        `complete -c weft -n '${where}' -l ${name}`,
        ...(short === undefined ? [] : [`-s ${short}`]),
        ...(value === undefined ? [] : ['-r']),
        ...(choices === undefined ? [] : [`-f -a '${choices.join(' ')}'`]),
        `-d ${quoted(help)}`,
      ].join(' '),
    );
    return [offer, ...flags];
  });
  const groups = [...new Set(commands.flatMap(({ name }) => (name.includes(' ') ? (name.split(' ')[0] ?? []) : [])))];
  return [...groups.map((group) => `complete -c weft -f -n __fish_use_subcommand -a ${group}`), ...lines, ''].join(
    '\n',
  );
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
