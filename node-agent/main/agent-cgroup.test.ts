import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { must } from '../../test/lab/command.ts';
import { findCgroup2 } from '../config.ts';

const root = findCgroup2(readFileSync('/proc/mounts', 'utf8'));
const subject = new URL('agent-cgroup.ts', import.meta.url).href;
const program = `
  import { statSync } from 'node:fs';
  import { joinAgentCgroup } from ${JSON.stringify(subject)};
  const folder = joinAgentCgroup(process.argv[1]);
  console.log(JSON.stringify({ folder, inode: statSync(folder).ino }));`;

interface Joined {
  readonly folder: string;
  readonly inode: number;
}

interface Trial extends Joined {
  /** Inode of the cgroup that it was started in. */
  readonly from: number;
}

/** Runs the program in a new cgroup, after `prefix`. */
function joinFrom(cgroup: string, prefix: string, wanted: string): Trial {
  mkdirSync(cgroup);
  try {
    const script = `echo $$ > ${cgroup}/cgroup.procs; ${prefix} "$@"`;
    const command = [process.execPath, '--input-type=module', '-e', program, wanted];
    const from = statSync(cgroup).ino;
    return { ...(JSON.parse(must('sh', '-c', script, 'sh', ...command)) as Joined), from };
  } finally {
    rmdirSync(cgroup);
  }
}

test('on a host, or in its cgroup namespace, the agent gets a cgroup of its own', () => {
  const wanted = join(root, `weft-test-own-${process.pid}`);
  const joined = joinFrom(join(root, `weft-test-from-${process.pid}`), 'exec', wanted);
  try {
    assert.deepEqual([joined.folder, joined.inode], [wanted, statSync(wanted).ino]);
    assert.notEqual(joined.inode, joined.from);
  } finally {
    rmdirSync(wanted);
  }
});

test("in a container's cgroup namespace it stays in the container's, which is its own already", () => {
  const script = 'mount -t cgroup2 none /mnt && exec "$@"';
  const cgroup = join(root, `weft-test-container-${process.pid}`);
  const joined = joinFrom(cgroup, `exec unshare --cgroup --mount sh -c '${script}' sh`, '/nowhere');
  assert.deepEqual({ folder: joined.folder, inode: joined.inode }, { folder: '/mnt', inode: joined.from });
  assert.ok(!existsSync('/nowhere'));
});
