import type { Surroundings } from './surroundings.ts';

export interface Flag {
  /** One letter. */
  readonly short?: string;
  /** What stands for the value in the help; absent for a switch. */
  readonly value?: string;
  readonly fallback?: string;
  readonly choices?: readonly string[];
  /** May be given more than once. */
  readonly isMultiple?: true;
  readonly help: string;
}

export type Flags = Readonly<Record<string, Flag>>;

export type FlagValues<Given extends Flags> = {
  readonly [Name in keyof Given]: Given[Name] extends { readonly isMultiple: true }
    ? readonly string[]
    : Given[Name] extends { readonly value: string }
      ? Given[Name] extends { readonly fallback: string }
        ? string
        : string | undefined
      : boolean;
};

export interface Call<Given extends Flags> {
  readonly flags: FlagValues<Given>;
  readonly positionals: readonly string[];
  readonly surroundings: Surroundings;
}

/** One table makes the parser, the help, the completion and docs/cli.md. */
export interface Command {
  /** "check", or "diagnostics metrics". */
  readonly name: string;
  readonly summary: string;
  /** What may follow, for the help: "[POD]". */
  readonly positionals?: { readonly usage: string; readonly minimum: number; readonly maximum: number };
  readonly flags: Flags;
  readonly examples?: readonly string[];
  /** Resolves to the exit status. @throws WeftError, which the boundary reports */
  run(call: Call<Flags>): Promise<number>;
}

/** With flags whose types follow from their table. */
export function defineCommand<Given extends Flags>(
  command: Omit<Command, 'flags' | 'run'> & { readonly flags: Given; run(call: Call<Given>): Promise<number> },
): Command {
  return { ...command, run: (call) => command.run(call as unknown as Call<Given>) }; // parseCall made it by that table
}
