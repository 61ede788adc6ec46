export interface Output {
  write(text: string): void;
  readonly isTerminal: boolean;
}

/** What a command meets: everything of the process that it may use. */
export interface Surroundings {
  readonly out: Output;
  readonly err: Output;
  readonly environment: NodeJS.ProcessEnv;
  /** Somebody wants the command to end. */
  readonly signal: AbortSignal;
}
