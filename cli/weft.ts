import { WeftError } from '../mesh/errors.ts';
import type { Call, Command, Flags } from './command.ts';
import { commandHelp, overview } from './help.ts';
import { parseCall } from './parse-call.ts';
import type { Surroundings } from './surroundings.ts';

/** The `weft` command as a function of its arguments. Resolves to the exit status: 0, or 1 for whatever went wrong. */
export async function weft(
  commands: readonly Command[],
  args: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const { out, err } = surroundings;
  try {
    const [first] = args;
    if (first === undefined || first === 'help' || first === '--help' || first === '-h') {
      out.write(helpOf(commands, args.slice(1)));
      return 0;
    }
    const command = findCommand(commands, args);
    const { wantsHelp, ...call } = parseCall(command, args.slice(command.name.split(' ').length));
    if (wantsHelp) {
      out.write(commandHelp(command));
      return 0;
    }
    return await command.run({ ...call, surroundings } as Call<Flags>);
  } catch (error) {
    if (surroundings.signal.aborted) return 1;
    if (!(error instanceof WeftError)) throw error;
    err.write(`weft: ${error.code} ${error.message}. ${error.hint}\n`);
    return 1;
  }
}

function helpOf(commands: readonly Command[], words: readonly string[]): string {
  return words.length === 0 ? overview(commands) : commandHelp(findCommand(commands, words));
}

/** The longest name wins: "diagnostics metrics" before "diagnostics". */
function findCommand(commands: readonly Command[], words: readonly string[]): Command {
  const found = commands
    .filter(({ name }) => name.split(' ').every((word, index) => words[index] === word))
    .toSorted((a, b) => b.name.length - a.name.length)[0];
  if (found === undefined) throw new WeftError('WEFT-E401', `"${words[0] ?? ''}" is no command`);
  return found;
}
