import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { cgroup2Mount } from './layout.ts';
import { teardown } from './teardown.ts';

/** Runs beside a lab in a session of its own. Standard input ends when the lab's process does, however it ends. */
const [lab = ''] = process.argv.slice(2);
writeFileSync(join(cgroup2Mount(), 'cgroup.procs'), String(process.pid)); // the one that started it may be in the lab's
process.stdin.resume().once('end', () => void teardown(lab));
