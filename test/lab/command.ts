import { execFile, execFileSync, spawn } from 'node:child_process';
import { constants } from 'node:os';

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

/** With this process's own input and output, and the signals that it gets. Resolves to the exit code, as a shell has it. */
export function runAttached(command: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const [file = '', ...args] = command;
  const child = spawn(file, args, { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => child.kill(signal));
  return new Promise((end, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      end(code ?? 128 + constants.signals[signal ?? 'SIGKILL']);
    });
  });
}
