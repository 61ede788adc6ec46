import { commands } from './commands/all.ts';
import { weft } from './weft.ts';

const end = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort());
// Whoever reads may have read enough (`weft check | head`).
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));

process.exitCode = await weft(commands, process.argv.slice(2), {
  out: { write: (text) => process.stdout.write(text), isTerminal: process.stdout.isTTY },
  err: { write: (text) => process.stderr.write(text), isTerminal: process.stderr.isTTY },
  environment: process.env,
  signal: end.signal,
});
