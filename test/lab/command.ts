import { execFile, execFileSync } from 'node:child_process';

const defaultTimeoutMs = 20_000;

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly input?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Runs to the end and gives the exit code: 124 when the time is over, as timeout(1) does. */
export function run(command: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const [file = '', ...args] = command;
  return new Promise((resolve) => {
    const child = execFile(
      file,
      args,
      {
        timeout: options.timeoutMs ?? defaultTimeoutMs,
        killSignal: 'SIGKILL',
        env: options.env ?? process.env,
        maxBuffer: 1 << 26,
      },
      (error, stdout, stderr) => {
        const code =
          error === null ? 0 : error.killed === true ? 124 : typeof error.code === 'number' ? error.code : 127;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.on('error', () => undefined); // the command need not read it
    child.stdin?.end(options.input ?? '');
  });
}

/** For the lab's own set-up: a failure is an error with what the command said. */
export function must(...command: string[]): string {
  const [file = '', ...args] = command;
  try {
    return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: defaultTimeoutMs });
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new Error(`${command.join(' ')}: ${said}`);
  }
}
