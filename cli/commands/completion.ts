import { WeftError } from '../../mesh/errors.ts';
import type { Command } from '../command.ts';
import { defineCommand } from '../command.ts';
import type { Shell } from '../completion.ts';
import { completionScript } from '../completion.ts';

const shells: readonly string[] = ['bash', 'zsh', 'fish'];

/** @param commands all of them, asked late as this is one of them */
export function completion(commands: () => readonly Command[]): Command {
  return defineCommand({
    name: 'completion',
    summary: 'Print a script that completes commands in a shell',
    positionals: { usage: 'bash|zsh|fish', minimum: 1, maximum: 1 },
    flags: {},
    examples: ['source <(weft completion bash)', 'weft completion fish > ~/.config/fish/completions/weft.fish'],
    run: ({ positionals: [shell = ''], surroundings }) => {
      if (!shells.includes(shell))
        throw new WeftError('WEFT-E401', `completion: "${shell}" is none of ${shells.join(', ')}`);
      surroundings.out.write(completionScript(shell as Shell, commands()));
      return Promise.resolve(0);
    },
  });
}
