import { readdirSync, readFileSync } from 'node:fs';

import { WeftError } from '../../mesh/errors.ts';

/**
 * Becomes `uid`, user and group, without capabilities. Leaving user 0 clears them (capabilities(7)); the check is for a start in
 * surroundings that keep them, and looks at every thread, as credentials are the thread's.
 *
 * @throws WeftError WEFT-E110
 */
export function dropPrivileges(uid: number): void {
  try {
    process.setgroups?.([]);
    process.setgid?.(uid);
    process.setuid?.(uid);
  } catch (cause) {
    throw new WeftError('WEFT-E110', `this process cannot become user ${uid}`, { cause });
  }
  for (const thread of readdirSync('/proc/self/task')) {
    const held = capabilitiesIn(readFileSync(`/proc/self/task/${thread}/status`, 'utf8'));
    if (held !== 0n)
      throw new WeftError('WEFT-E110', `thread ${thread} still has the capabilities ${held.toString(16)}`);
  }
}

/** Effective ones, and permitted ones, which could be made effective again. */
export function capabilitiesIn(status: string): bigint {
  let held = 0n;
  for (const name of ['CapEff', 'CapPrm']) {
    const mask = new RegExp(`^${name}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1];
    if (mask === undefined) throw new WeftError('WEFT-E110', `the kernel does not tell ${name}`);
    held |= BigInt(`0x${mask}`);
  }
  return held;
}
