import { teardown } from './teardown.ts';

/** Runs beside a lab in a session of its own. Standard input ends when the lab's process does, however it ends. */
const [lab = ''] = process.argv.slice(2);
process.stdin.resume().once('end', () => void teardown(lab));
