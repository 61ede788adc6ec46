import pino from 'pino';

/** The part of pino that the agent uses: objects first, then the sentence. */
export type Logger = Pick<pino.Logger, 'debug' | 'info' | 'warn' | 'error'>;

/** JSON lines on standard error, written at once: a process that is killed must have told what it knew. */
export function createLogger(level: string, component: string): Logger {
  return pino(
    { level, base: { component, pid: process.pid }, serializers: { error: pino.stdSerializers.err } },
    pino.destination({ dest: 2, sync: true }),
  );
}
