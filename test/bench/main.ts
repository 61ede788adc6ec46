import { spawnSync } from 'node:child_process';

/** `make bench [ONLY=name] [JSON=1]`: each bench is a program of its own, so that none inherits what another left warm. */
const benches = ['relay', 'tls', 'http', 'directory', 'cluster'];

const only = process.env['ONLY'];
if (only !== undefined && !benches.includes(only)) {
  process.stderr.write(`ONLY=${only}: there is no such bench; there are ${benches.join(', ')}\n`);
  process.exit(2);
}
for (const bench of only === undefined ? benches : [only]) {
  const program = new URL(`${bench}.ts`, import.meta.url).pathname;
  const { status } = spawnSync(process.execPath, [program], { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
}
